//! Where settings come from: a TOML file, below the environment, below the flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::declare::Setting;
use super::field::{Form, Raw};
use super::{Config, PREFIX, RETIRED, settings};

/// The variable that hosting platforms set to the port that they forward to.
pub(crate) const PORT: &str = "PORT";

/// The settings that were given, by name.
pub(crate) type Given = BTreeMap<String, Raw>;

/// The effective settings as given; each has been checked by itself.
#[derive(Debug, Clone)]
pub(crate) struct Layers {
    settings: Vec<Setting>,
    given: Given,
}

impl Layers {
    /// `flags` holds what the command line gave, `environment` all variables of the process.
    ///
    /// # Errors
    /// A message that names the file, variable or flag, and what is wrong with its value.
    pub(crate) fn read(
        file: Option<&Path>,
        environment: impl Iterator<Item = (OsString, OsString)>,
        flags: Given,
    ) -> Result<Self, String> {
        let mut layers = Self { settings: settings(), given: Given::new() };
        if let Some(path) = file {
            let from = format!("--config {}", path.display());
            let text = std::fs::read_to_string(path).map_err(|e| format!("{from}: {e}"))?;
            let table: toml::Table = text.parse().map_err(|e| format!("{from}: {e}"))?;
            for (name, value) in table {
                // Of a mode in octal the file would only give the value, and `true` would be a path.
                let form = layers.setting(&name, &format!("{from}: {name}"))?.form;
                let is_text = value.is_str() || value.is_array() || value.is_table();
                if form == Form::Single && !is_text {
                    let found = value.type_str();
                    return Err(format!(
                        "{from}: {name}: expected a text in quotes, found a value of type {found}"
                    ));
                }
                let raw = Raw::from_toml(value).map_err(|e| format!("{from}: {name}: {e}"))?;
                layers.set(name.clone(), raw, &format!("{from}: {name}"))?;
            }
        }
        let mut port = None;
        let mut listen = false;
        for (variable, value) in environment {
            let Some(variable) = variable.to_str().filter(|v| v.starts_with(PREFIX) || *v == PORT) else {
                continue;
            };
            let value = value.into_string().map_err(|_| format!("{variable}: not valid UTF-8"))?;
            let Some(name) = variable.strip_prefix(PREFIX) else {
                port = Some(value).filter(|port| !port.is_empty());
                continue;
            };
            if is_service_link(name, &value) {
                continue;
            }
            let name = name.to_ascii_lowercase().replace('_', "-");
            listen |= name == "listen";
            let raw = layers.setting(&name, variable)?.raw(&value);
            layers.set(name, raw, variable)?;
        }
        // OPS-051
        if let Some(port) = port.filter(|_| !listen && !flags.contains_key("listen")) {
            let port: u16 = port.parse().map_err(|_| format!("{PORT}: '{port}' is not a port number"))?;
            layers.set("listen".to_owned(), Raw::Text(format!("0.0.0.0:{port}")), PORT)?;
        }
        for (name, raw) in flags {
            let from = format!("--{name}");
            layers.set(name, raw, &from)?;
        }
        Ok(layers)
    }

    fn setting(&self, name: &str, from: &str) -> Result<&Setting, String> {
        if let Some((_, instead)) = RETIRED.iter().find(|(retired, _)| *retired == name) {
            return Err(format!("{from}: {instead}"));
        }
        let setting = self.settings.iter().find(|s| s.name == name);
        setting.ok_or_else(|| format!("{from}: unknown setting; docs/settings.md lists them"))
    }

    fn set(&mut self, name: String, raw: Raw, from: &str) -> Result<(), String> {
        let setting = self.setting(&name, from)?;
        (setting.check)(&raw).map_err(|problem| format!("{from}: {problem}"))?;
        self.given.insert(name, raw);
        Ok(())
    }

    /// What gives a setting its value, if not its default.
    pub(crate) fn given(&self, name: &str) -> Option<&Raw> {
        self.given.get(name)
    }

    /// Sets a setting, whatever gave it before.
    ///
    /// # Errors
    /// If it cannot have the value.
    pub(crate) fn replace(&mut self, name: &str, value: &str) -> Result<(), String> {
        let from = format!("--{name}");
        self.set(name.to_owned(), Raw::Text(value.to_owned()), &from)
    }

    /// Gives a setting another default.
    ///
    /// # Errors
    /// If it cannot have the value.
    pub(crate) fn default_to(&mut self, name: &str, value: &str) -> Result<(), String> {
        if self.given.contains_key(name) { Ok(()) } else { self.replace(name, value) }
    }

    /// # Errors
    /// A message that names the settings that do not fit each other.
    pub(crate) fn config(&self) -> Result<Config, String> {
        let config = Config::typed(|name| {
            let default = || self.settings.iter().find(|s| s.name == name)?.default.clone().map(Raw::Text);
            self.given.get(name).cloned().or_else(default)
        })?;
        config.check_together()?;
        Ok(config)
    }

    /// The effective settings as the text of a TOML file.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut group = "";
        for setting in &self.settings {
            let raw = self.given.get(&setting.name).cloned();
            let Some(raw) = raw.or_else(|| setting.default.clone().map(Raw::Text)) else { continue };
            if setting.group != group {
                group = setting.group;
                text.push_str(&format!("{}# {group}\n", if text.is_empty() { "" } else { "\n" }));
            }
            text.push_str(&format!("{} = {}\n", setting.name, to_toml(raw, setting.form)));
        }
        text
    }
}

/// Whether a variable is one that Kubernetes and Docker make for a service of our name (`WHOLEPLATE_SERVICE_HOST`,
/// `WHOLEPLATE_PORT_80_TCP`): no setting is named so.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_address = value.contains("://");
    name == "SERVICE_HOST"
        || name == "SERVICE_PORT"
        || name.starts_with("SERVICE_PORT_")
        || name.starts_with("PORT_")
        || (name == "PORT" && is_address)
}

fn to_toml(raw: Raw, form: Form) -> toml::Value {
    match (raw, form) {
        (Raw::Text(text), Form::Switch) => matches!(text.as_str(), "true" | "1").into(),
        (Raw::Text(text), Form::Number) => match text.parse::<i64>() {
            Ok(number) => number.into(),
            Err(_) => text.into(),
        },
        (Raw::Text(text), _) => text.into(),
        (Raw::List(texts), _) => texts.into(),
        (Raw::Table(table), _) => table.into(),
    }
}
