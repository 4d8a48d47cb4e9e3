//! The one configuration: flags over `WHOLEPLATE_*` environment over a TOML file, validated once.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything that can be set. Names in a file are those of the flags, `-` between words; in the
/// environment they are upper-case with `_`, after `WHOLEPLATE_`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// Address of the HTTP door; port 0 takes a free one, `none` opens none.
    pub(crate) listen: String,
    /// Path of the Unix socket with all doors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unix: Option<PathBuf>,
    /// Permission bits of the socket file, octal.
    pub(crate) unix_mode: String,
    /// Numeric user and group of the socket file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unix_uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unix_gid: Option<u32>,
    /// What relative sources resolve against: a directory, or an http(s) URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<String>,
    /// Hosts (with an optional path) whose absolute source URLs are fetched; `*.example.com`, or `*` for all.
    pub(crate) allow_origin: Vec<String>,
    /// Whether absolute source URLs and redirects may lead to private addresses.
    pub(crate) allow_private_network: bool,
    /// Whether `POST /info` and `POST /transform` are answered on TCP too.
    pub(crate) binding_on_tcp: bool,
    /// Request header with `request.cf` as JSON. Only a Workers runtime may be able to set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cf_blob_header: Option<String>,
    /// Images worked on at once; 0 = one for each core.
    pub(crate) workers: usize,
    /// Requests that may wait for a worker.
    pub(crate) queue: usize,
    /// Memory for pixels, in MiB; the inputs of all requests may take half as much beside it.
    pub(crate) memory: usize,
    /// Seconds that an image may be computed.
    pub(crate) compute_timeout: u64,
    /// Seconds to connect to a source and get its first byte.
    pub(crate) connect_timeout: u64,
    /// Seconds that a source may pause.
    pub(crate) read_timeout: u64,
    /// Largest source in bytes.
    pub(crate) max_source: u64,
    /// Largest input of the binding in bytes.
    pub(crate) max_input: u64,
    /// Redirects that are followed.
    pub(crate) max_redirects: usize,
    /// Seconds that responses under way may take after SIGTERM.
    pub(crate) drain_timeout: u64,
    /// Unknown options are errors instead of warnings.
    pub(crate) strict: bool,
    /// Formats that are accepted as inputs beside the standard ones.
    pub(crate) extra_inputs: Vec<String>,
    /// Standard formats that are not accepted as inputs.
    pub(crate) refused_inputs: Vec<String>,
    /// ONNX file of the model for `segment=foreground`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) segment_model: Option<PathBuf>,
    /// ONNX files of models for `upscale=generate`: one that enlarges twice, one that enlarges four times, or both.
    pub(crate) upscale_model: Vec<PathBuf>,
    /// Address of `/metrics` and `/healthz`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin: Option<String>,
    /// `human` or `json`.
    pub(crate) log: LogFormat,
    /// Whether every answer says in `Server-Timing` where its time went, not only those that are asked to.
    pub(crate) server_timing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Human,
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8787".to_owned(),
            unix: None,
            unix_mode: "660".to_owned(),
            unix_uid: None,
            unix_gid: None,
            origin: None,
            allow_origin: Vec::new(),
            allow_private_network: false,
            binding_on_tcp: false,
            cf_blob_header: None,
            workers: 0,
            queue: 256,
            memory: 1024,
            compute_timeout: 30,
            connect_timeout: 10,
            read_timeout: 15,
            max_source: 100_000_000,
            max_input: 20_000_000,
            max_redirects: recipe::choices::DEFAULT_REDIRECTS,
            drain_timeout: 30,
            strict: false,
            extra_inputs: Vec::new(),
            refused_inputs: Vec::new(),
            segment_model: None,
            upscale_model: Vec::new(),
            admin: None,
            log: LogFormat::Human,
            server_timing: false,
        }
    }
}

/// Prefix of the environment variables.
const PREFIX: &str = "WHOLEPLATE_";

impl Config {
    /// Merges the three layers and checks the result. `flags` holds what the command line gave, by the
    /// names of the file; `environment` all variables of the process.
    ///
    /// # Errors
    /// A message that names the file or variable, the key, and what is wrong with it.
    pub(crate) fn load(
        file: Option<&std::path::Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: toml::Table,
    ) -> Result<Self, String> {
        let mut merged = match file {
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|e| format!("--config {}: {e}", path.display()))?;
                let table: toml::Table =
                    text.parse().map_err(|e| format!("--config {}: {e}", path.display()))?;
                check(&table, &format!("--config {}", path.display()))?;
                table
            }
            None => toml::Table::new(),
        };
        for (name, value) in environment {
            let Some(key) = name.strip_prefix(PREFIX) else { continue };
            let key = key.to_ascii_lowercase().replace('_', "-");
            let value = typed(&key, &value);
            let one = toml::Table::from_iter([(key.clone(), value.clone())]);
            check(&one, &name)?;
            merged.insert(key, value);
        }
        check(&flags, "command line")?;
        merged.extend(flags);
        let config: Self =
            toml::Value::Table(merged).try_into().map_err(|e| format!("configuration: {e}"))?;
        config.validate()?;
        Ok(config)
    }

    /// What types cannot say.
    fn validate(&self) -> Result<(), String> {
        let positive = [
            ("memory", self.memory as u64),
            ("queue", self.queue as u64),
            ("compute-timeout", self.compute_timeout),
            ("connect-timeout", self.connect_timeout),
            ("read-timeout", self.read_timeout),
            ("max-source", self.max_source),
            ("max-input", self.max_input),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, v)| *v == 0) {
            return Err(format!("{name}: must be above 0"));
        }
        if self.memory < 16 {
            return Err("memory: at least 16 (MiB) are needed".to_owned());
        }
        u32::from_str_radix(&self.unix_mode, 8)
            .ok()
            .filter(|m| *m <= 0o777)
            .ok_or_else(|| format!("unix-mode: '{}' is not an octal mode such as 660", self.unix_mode))?;
        self.inputs()?;
        for pattern in &self.allow_origin {
            crate::source::Pattern::parse(pattern)?;
        }
        if let Some(name) = &self.cf_blob_header {
            name.parse::<http::HeaderName>()
                .map_err(|_| format!("cf-blob-header: '{name}' is not a header name"))?;
        }
        if self.listen == "none" && self.unix.is_none() {
            return Err("listen: 'none' leaves no door open; give --unix PATH".to_owned());
        }
        Ok(())
    }

    /// The formats that are accepted.
    ///
    /// # Errors
    /// A message that names the setting and the format that cannot be had.
    pub(crate) fn inputs(&self) -> Result<imaging::Inputs, String> {
        imaging::Inputs::new(&self.extra_inputs, &[]).map_err(|e| format!("extra-inputs: {e}"))?;
        imaging::Inputs::new(&self.extra_inputs, &self.refused_inputs)
            .map_err(|e| format!("refused-inputs: {e}"))
    }

    pub(crate) fn mode(&self) -> u32 {
        u32::from_str_radix(&self.unix_mode, 8).unwrap_or(0o660)
    }

    pub(crate) fn workers(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
    }
}

/// Whether one layer by itself has only known keys with good values; says which is not.
fn check(layer: &toml::Table, from: &str) -> Result<(), String> {
    for (key, value) in layer {
        let one = toml::Table::from_iter([(key.clone(), value.clone())]);
        toml::Value::Table(one)
            .try_into::<Config>()
            .map_err(|e| format!("{from}: {key}: {}", e.message().trim()))?;
    }
    Ok(())
}

/// A variable's text as the type that the key has: lists are separated by commas.
fn typed(key: &str, text: &str) -> toml::Value {
    let defaults = toml::Value::try_from(Config::default()).ok();
    match defaults.as_ref().and_then(|d| d.get(key)) {
        Some(toml::Value::Array(_)) => text
            .split(',')
            .map(str::trim)
            .filter(|t| !t.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .into(),
        Some(toml::Value::String(_)) => text.to_owned().into(),
        _ => text
            .parse::<i64>()
            .map(toml::Value::from)
            .or_else(|_| text.parse::<bool>().map(toml::Value::from))
            .unwrap_or_else(|_| text.to_owned().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    fn load(file: &str, environment: &[(&str, &str)], flags: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wholeplate.toml");
        std::fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(Some(&path), environment, flags.parse().unwrap())
    }

    #[test]
    fn flags_win_over_the_environment_and_it_over_the_file() {
        let file = "queue = 1\nmemory = 100\nworkers = 1\nallow-origin = ['a.example']";
        let c = load(
            file,
            &[
                ("WHOLEPLATE_QUEUE", "2"),
                ("WHOLEPLATE_MEMORY", "200"),
                ("WHOLEPLATE_ALLOW_ORIGIN", "b.example, *.c.example"),
            ],
            "queue = 3",
        )
        .unwrap();
        assert_eq!((c.queue, c.memory, c.workers), (3, 200, 1));
        assert_eq!(c.allow_origin, ["b.example", "*.c.example"]);
    }

    #[test]
    fn unknown_keys_and_bad_values_are_named() {
        let error = |file: &str, environment: &[(&str, &str)]| load(file, environment, "").unwrap_err();
        assert!(error("quue = 1", &[]).contains("quue"));
        assert!(error("queue = 'many'", &[]).contains("queue"));
        assert!(error("", &[("WHOLEPLATE_QUEUE", "many")]).contains("WHOLEPLATE_QUEUE"));
        assert!(error("", &[("WHOLEPLATE_NOSUCH", "1")]).contains("WHOLEPLATE_NOSUCH"));
        assert!(error("memory = 0", &[]).contains("memory"));
        assert!(error("unix-mode = '999'", &[]).contains("unix-mode"));
        assert!(error("allow-origin = ['http://']", &[]).contains("allow-origin"));
        assert!(error("extra-inputs = ['tga']", &[]).contains("extra-inputs: 'tga'"));
        assert!(error("", &[("WHOLEPLATE_REFUSED_INPUTS", "avif,tiff")]).contains("refused-inputs: 'tiff'"));
    }

    #[test]
    fn what_config_prints_can_be_loaded_again() {
        let text = toml::to_string(&Config::default()).unwrap();
        assert_eq!(load(&text, &[], "").unwrap(), Config::default());
    }
}
