//! The configuration: flags, then `WHOLEPLATE_…` variables, then a TOML file. Checked once, typed from then on.
//!
//! A setting is one row in `settings.rs`.

mod declare;
mod field;
mod layers;
mod page;
mod settings;
mod values;

use std::path::Path;
use std::time::Duration;

use delivery::{Tls, TlsError};

use crate::access::Signing;
use crate::sources::Origin;

pub(crate) use self::declare::Setting;
pub(crate) use self::field::{Form, Raw};
pub(crate) use self::layers::{Given, Layers, PORT};
pub(crate) use self::settings::{Config, RETIRED, settings};
pub(crate) use self::values::{Address, Listen, LogFormat, Mebibytes};

/// Prefix of the environment variables.
pub(crate) const PREFIX: &str = "WHOLEPLATE_";
/// Unread bytes of a request that are read and thrown away before its answer, and the seconds for that.
const MOST_UPLOAD_DRAINED: u64 = 512 << 20;
const UPLOAD_DRAIN_TIME: Duration = Duration::from_secs(5);
/// A client that pauses for so long may be waiting for its answer.
const UPLOAD_DRAIN_IDLE: Duration = Duration::from_secs(1);
/// How long an upload is read and thrown away after its answer, so that no reset overtakes the answer, or passed on.
pub(crate) const UPLOAD_LINGER_TIME: Duration = Duration::from_secs(15);

/// Formats that results can have.
const OUTPUT_FORMATS: [codecs::Format; 6] = [
    codecs::Format::Avif,
    codecs::Format::WebP,
    codecs::Format::Jpeg,
    codecs::Format::Png,
    codecs::Format::Gif,
    codecs::Format::Svg,
];

impl Config {
    /// Whether the settings fit each other.
    ///
    /// # Errors
    /// A message that names the setting and what is wrong with its value.
    fn check_together(&self) -> Result<(), String> {
        self.inputs()?;
        self.output_limits()?;
        if self.signed.is_some_and(|signing| signing != Signing::Off) && self.sign_key_file.is_none() {
            return Err("signed: there is no key; set sign-key-file too".to_owned());
        }
        if self.only_presets && self.presets.0.is_empty() {
            return Err(
                "only-presets: there is no preset; add [presets.NAME] to the file of --config".to_owned()
            );
        }
        if self.allowed_widths.contains(&0) {
            return Err("allowed-widths: 0 is not a width".to_owned());
        }
        if let Some(url) = &self.cache_store {
            if url.contains('@') {
                return Err(
                    "cache-store: the URL has a user name or password; credentials come from the usual \
                            variables of the provider"
                        .to_owned(),
                );
            }
            store::check_bucket_url(url).map_err(|e| format!("cache-store: {e}"))?;
        }
        if self.cache && self.cache_memory > self.memory {
            return Err(format!(
                "cache-memory: {} is more than memory has ({})",
                self.cache_memory, self.memory
            ));
        }
        if self.pass_through && !matches!(self.origin, Some(Origin::Http(_))) {
            return Err(
                "pass-through: there is nowhere to pass requests on to; set origin to an http or https URL"
                    .to_owned(),
            );
        }
        if self.origin_host.is_some() && !self.pass_through {
            return Err("origin-host: it has a meaning with pass-through only; set that too".to_owned());
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => Err("tls-cert: its key is missing; set tls-key too".to_owned()),
            (None, Some(_)) => Err("tls-key: its certificate is missing; set tls-cert too".to_owned()),
            _ => Ok(()),
        }
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
        settings.header_timeout = self.header_timeout.duration();
        settings.idle_timeout = self.idle_timeout.duration();
        settings.stall_timeout = self.stall_timeout.duration();
        settings.body_stall_timeout = self.stall_timeout.duration();
        settings.response_timeout = self.response_timeout.duration();
        settings.min_rate = self.min_rate.0;
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

    /// What results may be (OPS-022).
    ///
    /// # Errors
    /// A message that names the setting and what is wrong with it.
    pub(crate) fn output_limits(&self) -> Result<imaging::OutputLimits, String> {
        for (name, value) in [
            ("max-width", self.max_width.map(u64::from)),
            ("max-height", self.max_height.map(u64::from)),
            ("max-output-pixels", self.max_output_pixels),
            ("max-animation-frames", self.max_animation_frames.map(u64::from)),
        ] {
            if value == Some(0) {
                return Err(format!("{name}: 0 allows nothing (expected 1 or more)"));
            }
        }
        let format = |name: &String| {
            codecs::Format::from_name(name).filter(|format| OUTPUT_FORMATS.contains(format)).ok_or_else(
                || format!("allowed-formats: '{name}' is not one of avif, webp, jpeg, png, gif, svg"),
            )
        };
        let formats = self.allowed_formats.iter().map(format).collect::<Result<Vec<_>, _>>()?;
        Ok(imaging::OutputLimits {
            max_width: self.max_width,
            max_height: self.max_height,
            max_pixels: self.max_output_pixels,
            formats: (!formats.is_empty()).then_some(formats),
            max_animation_frames: self.max_animation_frames,
        })
    }

    /// The formats that are accepted.
    ///
    /// # Errors
    /// A message that names the setting and the format that cannot be had.
    pub(crate) fn inputs(&self) -> Result<imaging::AcceptedFormats, String> {
        imaging::AcceptedFormats::new(&self.extra_inputs, &[]).map_err(|e| format!("extra-inputs: {e}"))?;
        imaging::AcceptedFormats::new(&self.extra_inputs, &self.refused_inputs)
            .map_err(|e| format!("refused-inputs: {e}"))
    }

    pub(crate) fn workers(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Form, Given, Layers, Raw};

    fn read(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Layers, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wholeplate.toml");
        std::fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        let flags = flags.iter().map(|(k, v)| ((*k).to_owned(), Raw::Text((*v).to_owned())));
        Layers::read(Some(&path), environment, flags.collect())
    }

    fn load(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, String> {
        read(file, environment, flags)?.config()
    }

    #[test]
    fn flags_win_over_the_environment_and_it_over_the_file() {
        let file = "max-redirects = 1\nmemory = 100\nworkers = 1\nallow-origin = ['a.example']";
        let environment = [
            ("WHOLEPLATE_MAX_REDIRECTS", "2"),
            ("WHOLEPLATE_MEMORY", "200"),
            ("WHOLEPLATE_ALLOW_ORIGIN", "b.example, *.c.example"),
        ];
        let c = load(file, &environment, &[("max-redirects", "3")]).unwrap();
        assert_eq!((c.max_redirects, c.memory.bytes() >> 20, c.workers), (3, 200, 1));
        let patterns = ["b.example", "*.c.example"].map(|p| crate::sources::Pattern::parse(p).unwrap());
        assert_eq!(c.allow_origin, patterns);
    }

    #[test]
    fn unknown_keys_and_bad_values_are_named() {
        let error = |file: &str, environment: &[(&str, &str)]| load(file, environment, &[]).unwrap_err();
        for (file, named) in [
            ("quue = 1", "quue"),
            ("workers = 'many'", "workers: 'many'"),
            ("workers = [1]", "workers: expected one value"),
            ("queue = 7", "queue: this setting is gone; set queue-timeout"),
            ("memory = 0", "memory: 0MiB is not between 64MiB"),
            ("unix-mode = '999'", "unix-mode: '999'"),
            ("unix-mode = 0o660", "unix-mode: expected a text in quotes"),
            ("allow-origin = ['http://']", "allow-origin: 'http://'"),
            ("extra-inputs = ['tga']", "extra-inputs: 'tga'"),
            ("tls-cert = 'a.pem'", "tls-key"),
            ("stall-timeout = 0", "stall-timeout: 0s"),
            ("listen = 'foo'", "listen: 'foo'"),
            ("listen = '127.0.0.1:port'", "listen: '127.0.0.1:port'"),
            ("admin = 'foo'", "admin: 'foo'"),
            ("origin = '/no/such/directory'", "origin: /no/such/directory"),
            ("origin = 'ftp://h.example/'", "origin: 'ftp://h.example/'"),
            ("origin = 'http://'", "origin: 'http://'"),
            ("origin = 'http://h.example/?q=1'", "origin: the URL of http://h.example has a query"),
            ("origin = 'http://h.example/#top'", "origin: the URL of http://h.example has a fragment"),
            ("origin = 's3://bucket/a?b'", "origin: the URL of s3://bucket has a query"),
            ("forwarded-proto-header = 'a b'", "forwarded-proto-header: 'a b'"),
            ("strict = 'maybe'", "strict: 'maybe'"),
            ("max-width = 0", "max-width: 0"),
            ("allowed-formats = ['json']", "allowed-formats: 'json'"),
            ("allowed-widths = [0]", "allowed-widths: 0"),
            ("signed = 'required'", "signed: there is no key"),
            ("only-presets = true", "only-presets: there is no preset"),
            ("cache-store = 'http://x'", "cache-store: "),
        ] {
            assert!(error(file, &[]).contains(named), "{file}: {}", error(file, &[]));
        }
        assert!(error("", &[("WHOLEPLATE_WORKERS", "many")]).contains("WHOLEPLATE_WORKERS: 'many'"));
        assert!(error("", &[("WHOLEPLATE_NOSUCH", "1")]).contains("WHOLEPLATE_NOSUCH"));
        assert!(error("", &[("WHOLEPLATE_REFUSED_INPUTS", "avif,tiff")]).contains("refused-inputs: 'tiff'"));
        // A value that a higher layer replaces is checked all the same.
        assert!(load("memory = 0", &[], &[("memory", "100")]).unwrap_err().contains("memory"));
    }

    #[test]
    fn no_message_repeats_a_password() {
        for file in [
            "origin = 'http://user:s3cret@h.example/'",
            "origin = 'https://s3cret@h.example/?q=1'",
            "origin = 's3://key:s3cret@bucket/'",
            "origin = 'ftp://user:s3cret@h.example/'",
            "origin = 'http://user:s3cret@h ex/'",
            "allow-origin = ['https://user:s3cret@h.example']",
            "cache-store = 's3://key:s3cret@bucket'",
            "pass-through = true\norigin = 'http://h.example'\norigin-host = 'user:s3cret@h.example'",
        ] {
            let error = load(file, &[], &[]).unwrap_err();
            assert!(!error.contains("s3cret"), "{file}: {error}");
            assert!(
                error.contains("user name or password") || error.contains("not a URL"),
                "{file}: {error}"
            );
        }
    }

    // OPS-050: Kubernetes and Docker make variables for each service of a namespace.
    #[test]
    fn variables_of_service_links_are_no_settings() {
        let links = [
            ("WHOLEPLATE_SERVICE_HOST", "10.0.0.1"),
            ("WHOLEPLATE_SERVICE_PORT", "80"),
            ("WHOLEPLATE_SERVICE_PORT_HTTP", "80"),
            ("WHOLEPLATE_PORT", "tcp://10.0.0.1:80"),
            ("WHOLEPLATE_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("WHOLEPLATE_PORT_80_TCP_ADDR", "10.0.0.1"),
        ];
        assert!(load("", &links, &[]).is_ok());
        assert!(load("", &[("WHOLEPLATE_PORT", "8080")], &[]).unwrap_err().contains("WHOLEPLATE_PORT"));
    }

    #[test]
    fn numbers_of_the_file_are_whole_and_not_negative() {
        let numbers: Vec<_> = super::settings().into_iter().filter(|s| s.form == Form::Number).collect();
        assert!(numbers.len() > 30);
        for setting in numbers {
            let name = &setting.name;
            for value in [
                "-1",
                "1.0",
                "1.5",
                "1e9",
                "nan",
                "inf",
                "true",
                "[1]",
                "'1e3'",
                "'0x10'",
                "''",
                "1979-05-27",
            ] {
                // A rate is a decimal number.
                if name == "rate-limit" && matches!(value, "1.0" | "1.5" | "'1e3'") {
                    continue;
                }
                let error = load(&format!("{name} = {value}"), &[], &[]).unwrap_err();
                assert!(error.contains(&format!(": {name}: ")), "{name} = {value}: {error}");
            }
        }
        for (file, expected) in [
            ("max-width = -1", "max-width: '-1' is not a whole number from 0"),
            ("max-width = 1e9", "max-width: '1000000000.0' is not a whole number from 0"),
            ("workers = 1.5", "workers: '1.5' is not a whole number from 0"),
            ("memory = 100.0", "memory: '100.0' is not a size such as"),
            ("stall-timeout = -5", "stall-timeout: '-5' is not a time such as"),
            ("rate-limit = -5", "rate-limit: '-5' is not a number between 0.001 and 1000000"),
            ("allowed-widths = [320.0]", "allowed-widths: '320.0' is not a whole number from 0"),
            ("cache-dir = true", "cache-dir: expected a text in quotes, found a value of type boolean"),
        ] {
            let error = load(file, &[], &[]).unwrap_err();
            assert!(error.contains(expected), "{file}: {error}");
        }
        for (file, rate) in [("rate-limit = 5", 5.0), ("rate-limit = 0.5", 0.5), ("rate-limit = '2'", 2.0)] {
            assert_eq!(load(file, &[], &[]).unwrap().rate_limit.unwrap().per_second(), rate, "{file}");
        }
    }

    #[test]
    fn values_above_their_bounds_are_refused_by_name() {
        for (name, value) in [
            ("compute-timeout", "9223372036854775807"),
            ("compute-timeout", "18446744073709551615"),
            ("drain-timeout", "25h"),
            ("memory", "17592186044416"),
            ("max-connections", "18446744073709551615"),
            ("max-connections", "99999999999999999999"),
            ("queue-timeout", "2h"),
            ("workers", "100000"),
            ("max-source", "18446744073709551615"),
            ("max-connections", "4294967296"),
        ] {
            let error = load("", &[], &[(name, value)]).unwrap_err();
            assert!(error.starts_with(&format!("--{name}: ")), "{error}");
        }
    }

    #[test]
    fn switches_of_the_environment_may_be_numbers() {
        let strict = |text| load("", &[("WHOLEPLATE_STRICT", text)], &[]).map(|c| c.strict);
        assert_eq!((strict("1"), strict("0")), (Ok(true), Ok(false)));
        assert_eq!((strict("true"), strict("false")), (Ok(true), Ok(false)));
        assert!(strict("2").unwrap_err().contains("WHOLEPLATE_STRICT"));
    }

    // OPS-051
    #[test]
    fn port_listens_on_all_addresses_unless_listen_is_given() {
        let listen = |file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]| {
            let layers = read(file, environment, flags).unwrap();
            layers.to_toml().lines().find_map(|l| l.strip_prefix("listen = ").map(str::to_owned)).unwrap()
        };
        assert_eq!(listen("", &[], &[]), "\"127.0.0.1:8565\"");
        assert_eq!(listen("", &[("PORT", "80")], &[]), "\"0.0.0.0:80\"");
        assert_eq!(listen("listen = 'none'", &[("PORT", "80")], &[]), "\"0.0.0.0:80\"");
        for environment in
            [[("PORT", "80"), ("WHOLEPLATE_LISTEN", "none")], [("WHOLEPLATE_LISTEN", "none"), ("PORT", "80")]]
        {
            assert_eq!(listen("", &environment, &[]), "\"none\"");
        }
        assert_eq!(listen("", &[("PORT", "80")], &[("listen", "h:1")]), "\"h:1\"");
        // It is not looked at then.
        assert_eq!(listen("", &[("PORT", "http")], &[("listen", "h:1")]), "\"h:1\"");
        assert_eq!(listen("", &[("PORT", "")], &[]), "\"127.0.0.1:8565\"");
        assert!(read("", &[("PORT", "http")], &[]).unwrap_err().contains("PORT: 'http'"));
    }

    #[test]
    fn what_config_prints_can_be_loaded_again() {
        let given = [
            ("allow-origin", "*.example.com"),
            ("drain-timeout", "500ms"),
            ("memory", "1GiB"),
            ("strict", "1"),
        ];
        let printed = read("", &[], &given).unwrap().to_toml();
        assert_eq!(read(&printed, &[], &[]).unwrap().to_toml(), printed);
        assert!(
            printed.contains("max-connections = 4096\n") && printed.contains("strict = true\n"),
            "{printed}"
        );
    }

    #[test]
    fn every_default_is_a_good_value() {
        Layers::read(None, std::iter::empty(), Given::new()).unwrap().config().unwrap();
        for setting in super::settings() {
            if let Some(default) = &setting.default {
                assert_eq!((setting.check)(&Raw::Text(default.clone())), Ok(()), "{}", setting.name);
            }
        }
    }
}
