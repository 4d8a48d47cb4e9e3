//! The one configuration: flags over `WHOLEPLATE_*` environment over a TOML file, validated once.

mod validate;

use std::path::{Path, PathBuf};
use std::time::Duration;

use delivery::{Tls, TlsError};
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
    /// Request header with the scheme of a fetch whose request target has none. Read only beside that of `cf`.
    pub(crate) forwarded_proto_header: String,
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
    /// PEM files of a certificate chain and its key; the TCP door then speaks TLS. Both or neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_cert: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Connections served at once; the others wait to be accepted.
    pub(crate) max_connections: usize,
    /// Seconds from the first to the last byte of a request's head, or of a TLS handshake.
    pub(crate) header_timeout: u64,
    /// Seconds that a connection may stay open with no request under way.
    pub(crate) idle_timeout: u64,
    /// Seconds that a client may take no byte of its answer, or send none of its request, before it is given up; the
    /// same for an origin of a plain fetch.
    pub(crate) stall_timeout: u64,
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
            forwarded_proto_header: "x-forwarded-proto".to_owned(),
            workers: 0,
            queue: 256,
            memory: 2048,
            compute_timeout: 30,
            connect_timeout: 10,
            read_timeout: 15,
            max_source: 100_000_000,
            max_input: 20_000_000,
            max_redirects: crate::choices::DEFAULT_REDIRECTS,
            drain_timeout: 30,
            strict: false,
            extra_inputs: Vec::new(),
            refused_inputs: Vec::new(),
            tls_cert: None,
            tls_key: None,
            max_connections: 4096,
            header_timeout: 15,
            idle_timeout: 75,
            stall_timeout: 30,
            segment_model: None,
            upscale_model: Vec::new(),
            admin: None,
            log: LogFormat::Human,
            server_timing: false,
        }
    }
}

/// Unread bytes of a request that are read and thrown away before its answer, and the seconds for that.
const MOST_UPLOAD_DRAINED: u64 = 512 << 20;
const UPLOAD_DRAIN_TIME: Duration = Duration::from_secs(5);
/// A client that pauses for so long may be waiting for its answer.
const UPLOAD_DRAIN_IDLE: Duration = Duration::from_secs(1);
/// How long an upload is read and thrown away after its answer, so that no reset overtakes the answer.
const UPLOAD_LINGER_TIME: Duration = Duration::from_secs(15);

/// Prefix of the environment variables.
const PREFIX: &str = "WHOLEPLATE_";

impl Config {
    /// Merges the three layers and checks the result. `flags` holds what the command line gave, by the
    /// names of the file; `environment` all variables of the process.
    ///
    /// # Errors
    /// A message that names the file or variable, the key, and what is wrong with it.
    pub(crate) fn load(
        file: Option<&Path>,
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

    /// How connections are served: the settings that concern bytes, not images.
    ///
    /// # Errors
    /// A message that names the setting whose file cannot be read or used.
    pub(crate) fn delivery(&self) -> Result<delivery::Config, String> {
        let mut settings = delivery::Config::default();
        settings.max_connections = self.max_connections;
        if self.cf_blob_header.is_some() {
            // The options of `cf.image` come in a header, with the URL of every overlay.
            settings.max_header_bytes += recipe::choices::MAX_JSON_BYTES;
        }
        settings.header_timeout = Duration::from_secs(self.header_timeout);
        settings.idle_timeout = Duration::from_secs(self.idle_timeout);
        settings.stall_timeout = Duration::from_secs(self.stall_timeout);
        settings.body_stall_timeout = Duration::from_secs(self.stall_timeout);
        // Uploads are read to their end before their answer, an early error included; long ones, and those that pause,
        // go on after it.
        settings.request_drain_bytes = MOST_UPLOAD_DRAINED;
        settings.request_drain_time = UPLOAD_DRAIN_TIME;
        settings.request_drain_idle = UPLOAD_DRAIN_IDLE;
        settings.linger.discard_bytes = MOST_UPLOAD_DRAINED;
        settings.linger.discard_time = UPLOAD_LINGER_TIME;
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            let read = |name: &str, path: &Path| {
                std::fs::read(path).map_err(|e| format!("{name} {}: {e}", path.display()))
            };
            let (chain, secret) = (read("tls-cert", cert)?, read("tls-key", key)?);
            let tls = Tls::from_pem(&chain, &secret).map_err(|e| {
                let (name, path) =
                    if matches!(e, TlsError::Key(_)) { ("tls-key", key) } else { ("tls-cert", cert) };
                format!("{name} {}: {e}", path.display())
            })?;
            settings.tls = Some(tls);
        }
        Ok(settings)
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
        // The two that every container's manifest uses.
        Some(toml::Value::Boolean(_)) if matches!(text, "0" | "1") => (text == "1").into(),
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
        assert!(error("tls-cert = 'a.pem'", &[]).contains("tls-key"));
        assert!(error("stall-timeout = 0", &[]).contains("stall-timeout"));
        assert!(error("listen = 'foo'", &[]).contains("listen: 'foo'"));
        assert!(error("listen = '127.0.0.1:port'", &[]).contains("listen: '127.0.0.1:port'"));
        assert!(error("admin = 'foo'", &[]).contains("admin: 'foo'"));
        assert!(error("origin = '/no/such/directory'", &[]).contains("origin: /no/such/directory"));
        assert!(error("origin = 'ftp://h.example/'", &[]).contains("origin: 'ftp://h.example/'"));
        assert!(error("origin = 'http://'", &[]).contains("origin: 'http://'"));
        assert!(error("forwarded-proto-header = 'a b'", &[]).contains("forwarded-proto-header: 'a b'"));
        assert!(error("", &[("WHOLEPLATE_REFUSED_INPUTS", "avif,tiff")]).contains("refused-inputs: 'tiff'"));
    }

    #[test]
    fn switches_of_the_environment_may_be_numbers() {
        let strict = |text| load("", &[("WHOLEPLATE_STRICT", text)], "").map(|c| c.strict);
        assert_eq!((strict("1"), strict("0")), (Ok(true), Ok(false)));
        assert_eq!((strict("true"), strict("false")), (Ok(true), Ok(false)));
        assert!(strict("2").unwrap_err().contains("WHOLEPLATE_STRICT"));
    }

    #[test]
    fn what_config_prints_can_be_loaded_again() {
        let text = toml::to_string(&Config::default()).unwrap();
        assert_eq!(load(&text, &[], "").unwrap(), Config::default());
    }
}
