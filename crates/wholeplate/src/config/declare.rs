//! The macro that makes the configuration's type, its flags, variables and documentation from one declaration each.

use super::field::{Bounds, Form, Raw};

/// What is known of a setting besides its type.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// As in the file; the flag has hyphens before it, the variable is in upper case after `WHOLEPLATE_`.
    pub(crate) name: String,
    pub(crate) group: &'static str,
    pub(crate) value_name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) form: Form,
    pub(crate) default: Option<String>,
    pub(crate) bounds: Option<Bounds>,
    /// Whether a value can be used; says what is wrong with it.
    pub(super) check: fn(&Raw) -> Result<(), String>,
}

impl Setting {
    pub(crate) fn variable(&self) -> String {
        format!("{}{}", super::PREFIX, self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// The help text of the flag, with its bounds and its default.
    pub(crate) fn flag_help(&self) -> String {
        let mut help = self.help.trim().to_owned();
        if let Some(Bounds(least, most)) = &self.bounds {
            help.push_str(&format!(" [{least} to {most}]"));
        }
        if let Some(default) = self.default.as_ref().filter(|_| self.form != Form::Switch) {
            help.push_str(&format!(" [default: {default}]"));
        }
        help
    }

    /// The value of a variable.
    pub(super) fn raw(&self, text: &str) -> Raw {
        if self.form == Form::List { Raw::List(split(text)) } else { Raw::Text(text.to_owned()) }
    }

    /// The entries in one text of a list's flag. Names of files may have commas.
    pub(crate) fn split(&self, text: &str) -> Vec<String> {
        if self.value_name == "FILE" { vec![text.to_owned()] } else { split(text) }
    }
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect()
}

/// `"Group" { /// Help. name: Type = default, "VALUE_NAME" in least..=most; }`, where default and bounds may be missing.
macro_rules! settings {
    (
        $($group:literal {
            $($(#[doc = $help:literal])+ $name:ident: $type:ty $(= $default:expr)?, $value:literal $(in $bounds:expr)?;)*
        })*
    ) => {
        /// The effective configuration: every setting with its type, checked once.
        #[derive(Debug, Clone)]
        pub(crate) struct Config {
            $($($(#[doc = $help])+ pub(crate) $name: $type,)*)*
        }

        /// All settings, by groups.
        pub(crate) fn settings() -> Vec<$crate::config::declare::Setting> {
            use $crate::config::declare::Setting;
            use $crate::config::field::{Bounds, Field, Raw};
            vec![$($({
                fn read(raw: &Raw) -> Result<$type, String> {
                    let value = <$type as Field>::read(raw)?;
                    $(let value = $crate::config::field::within(value, &$bounds)?;)?
                    Ok(value)
                }
                Setting {
                    name: stringify!($name).replace('_', "-"),
                    group: $group,
                    value_name: $value,
                    help: concat!($($help),+),
                    form: <$type as Field>::FORM,
                    default: None$(.or(Some($default.to_string())))?,
                    bounds: None$(.or(Some(Bounds::of(&$bounds))))?,
                    check: |raw| read(raw).map(drop),
                }
            },)*)*]
        }

        impl Config {
            /// `get` gives the effective value of a setting, by its name.
            pub(super) fn typed(
                get: impl Fn(&str) -> Option<$crate::config::field::Raw>,
            ) -> Result<Self, String> {
                use $crate::config::field::Field;
                Ok(Self {
                    $($($name: {
                        let name = stringify!($name).replace('_', "-");
                        let value = match get(&name) {
                            Some(raw) => <$type as Field>::read(&raw),
                            None => <$type as Field>::absent(),
                        };
                        value.map_err(|problem| format!("{name}: {problem}"))?
                    },)*)*
                })
            }
        }
    };
}

pub(super) use settings;
