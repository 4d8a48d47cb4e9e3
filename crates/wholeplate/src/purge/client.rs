//! `wholeplate purge`: asks a running server to purge.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::token::read_token;
use crate::stdout;

const DEFAULT_ADMIN: &str = "http://127.0.0.1:9090";
const TIMEOUT: Duration = Duration::from_secs(30);
/// More would be refused; they are sent one request after the other.
const ENTRIES_AT_ONCE: usize = crate::cache::purge::MAX_TARGETS;

/// What to purge, and where.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(false))]
pub(crate) struct PurgeArgs {
    /// The admin address of the server; else WHOLEPLATE_ADMIN, else http://127.0.0.1:9090.
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// File with the bearer token, if the server has an admin-token-file; else
    /// WHOLEPLATE_ADMIN_TOKEN_FILE.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Purge everything.
    #[arg(long, group = "what")]
    everything: bool,
    /// Purge the sources of a host whose paths begin so: shop.example/uploads/. Repeatable.
    #[arg(long, value_name = "PREFIX", group = "what")]
    prefix: Vec<String>,
    /// Purge the sources of a host. Repeatable.
    #[arg(long, value_name = "HOST", group = "what")]
    host: Vec<String>,
    /// Purge what has a tag. Repeatable.
    #[arg(long, value_name = "TAG", group = "what")]
    tag: Vec<String>,
    /// Source URLs, or paths that begin with `/`.
    #[arg(value_name = "SOURCE", group = "what")]
    sources: Vec<String>,
}

impl PurgeArgs {
    fn bodies(&self) -> Vec<Value> {
        if self.everything {
            return vec![json!({ "purge_everything": true })];
        }
        let lists = [
            ("prefixes", &self.prefix),
            ("hosts", &self.host),
            ("tags", &self.tag),
            ("files", &self.sources),
        ];
        let chunks = lists
            .into_iter()
            .flat_map(|(kind, list)| list.chunks(ENTRIES_AT_ONCE).map(move |chunk| json!({ kind: chunk })));
        chunks.collect()
    }
}

/// Sends the purge and prints one line.
///
/// # Errors
/// What the server says, or why it was not reached.
pub(crate) fn run(args: &PurgeArgs) -> Result<(), String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let address = args.admin.clone().or_else(|| variable("WHOLEPLATE_ADMIN"));
    let address = address.unwrap_or_else(|| DEFAULT_ADMIN.to_owned());
    let base = if address.contains("://") { address } else { format!("http://{address}") };
    let url = format!("{}/client/v4/zones/wholeplate/purge_cache", base.trim_end_matches('/'));
    let file = args.token_file.clone().or_else(|| variable("WHOLEPLATE_ADMIN_TOKEN_FILE").map(PathBuf::from));
    let token = file.as_deref().map(read_token).transpose()?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let client =
            reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().map_err(|e| e.to_string())?;
        for body in args.bodies() {
            let mut request =
                client.post(&url).header("content-type", "application/json").body(body.to_string());
            if let Some(token) = &token {
                request = request.bearer_auth(token);
            }
            let answer = request.send().await.map_err(|e| format!("{url}: {}", innermost(&e)))?;
            let status = answer.status();
            let text = answer.text().await.map_err(|e| format!("{url}: {}", innermost(&e)))?;
            if !status.is_success() {
                let message = serde_json::from_str::<Value>(&text).ok();
                let message = message.as_ref().and_then(|v| v["errors"][0]["message"].as_str());
                return Err(format!("{url}: {status}: {}", message.unwrap_or("no purge API is there")));
            }
        }
        Ok::<(), String>(())
    })?;
    stdout::write(b"purged\n")
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}
