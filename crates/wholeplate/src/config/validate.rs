//! Whether a configuration can be served: what types cannot say. `config` and `serve` ask the same questions.
//! What depends on the machine (sockets that are inherited, addresses that are taken) only `serve` can see.

use super::Config;
use crate::memory::LEAST;

impl Config {
    /// # Errors
    /// A message that names the key and what is wrong with its value.
    pub(super) fn validate(&self) -> Result<(), String> {
        let positive = [
            ("memory", self.memory as u64),
            ("queue", self.queue as u64),
            ("compute-timeout", self.compute_timeout),
            ("connect-timeout", self.connect_timeout),
            ("read-timeout", self.read_timeout),
            ("max-source", self.max_source),
            ("max-input", self.max_input),
            ("max-connections", self.max_connections as u64),
            ("header-timeout", self.header_timeout),
            ("idle-timeout", self.idle_timeout),
            ("stall-timeout", self.stall_timeout),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, v)| *v == 0) {
            return Err(format!("{name}: must be above 0"));
        }
        if self.memory < LEAST {
            return Err(format!("memory: at least {LEAST} (MiB) are needed"));
        }
        u32::from_str_radix(&self.unix_mode, 8)
            .ok()
            .filter(|m| *m <= 0o777)
            .ok_or_else(|| format!("unix-mode: '{}' is not an octal mode such as 660", self.unix_mode))?;
        self.inputs()?;
        for pattern in &self.allow_origin {
            crate::sources::Pattern::parse(pattern)?;
        }
        let headers = [
            ("cf-blob-header", self.cf_blob_header.as_ref()),
            ("forwarded-proto-header", Some(&self.forwarded_proto_header)),
        ];
        for (key, name) in headers.into_iter().filter_map(|(key, name)| Some((key, name?))) {
            name.parse::<http::HeaderName>().map_err(|_| format!("{key}: '{name}' is not a header name"))?;
        }
        if self.listen != "none" {
            address("listen", &self.listen)?;
        }
        if let Some(admin) = &self.admin {
            address("admin", admin)?;
        }
        crate::sources::check_origin(self.origin.as_deref())?;
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => return Err("tls-cert: its key is missing; give tls-key too".to_owned()),
            (None, Some(_)) => {
                return Err("tls-key: its certificate is missing; give tls-cert too".to_owned());
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a text is a host and a port. Whether that host exists is seen when it is listened on.
fn address(key: &str, text: &str) -> Result<(), String> {
    let parts = text.rsplit_once(':').filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    parts.map(drop).ok_or_else(|| format!("{key}: '{text}' is not an address such as 127.0.0.1:8787"))
}
