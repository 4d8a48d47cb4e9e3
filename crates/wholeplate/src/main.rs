//! The program: command line, configuration and service.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

mod access;
mod admission;
mod app;
mod batch;
mod binding;
mod cache;
mod choices;
mod cli;
mod config;
mod counters;
mod dev;
mod doctor;
mod edge_origin;
mod error;
mod fields;
mod health;
mod histogram;
mod metrics;
mod models;
mod process;
mod produce;
mod purge;
mod request;
mod respond;
mod routes;
mod sandbox;
mod server;
mod signals;
mod sources;
mod stdout;
mod strace_check;
mod telemetry;
mod transformation;

use crate::cli::{Cli, Command, ModelFiles, Settings};
use crate::config::{Config, Layers};

fn main() -> ExitCode {
    // The TLS library asks for a process-wide provider, before any client of a bucket or an origin is made.
    let _ = rustls::crypto::ring::default_provider().install_default();
    admission::allocator::give_back_large_buffers();
    let cli = Cli::try_parse().unwrap_or_else(|error| with_hint(error).exit());
    let outcome = match cli.command {
        Command::Serve(settings) => load(*settings).and_then(|layers| server::run(layers.config()?)),
        Command::Dev { wait, settings, command } => {
            load_dev(*settings).and_then(|layers| dev::run(layers, &command, Duration::from_secs(wait)))
        }
        Command::Config(settings) => print_config(*settings),
        Command::Transform { inputs, output, options, strict, extra_inputs, models, no_sandbox } => {
            let options = options.unwrap_or_default();
            command_line_config(models).and_then(|config| {
                let config = Config { no_sandbox, ..config };
                batch::transform(&inputs, &output, &options, strict, &extra_inputs, &config)
            })
        }
        Command::Info { files, extra_inputs, segment_model, no_sandbox } => {
            batch::info(&files, &extra_inputs, segment_model.as_deref(), no_sandbox)
        }
        Command::Doctor(settings) => doctor::run(*settings),
        Command::Health { admin, ready } => {
            let address = admin.or_else(|| std::env::var("WHOLEPLATE_ADMIN").ok());
            let missing = || "give --admin ADDR or WHOLEPLATE_ADMIN, the setting of the service".to_owned();
            address.ok_or_else(missing).and_then(|address| health::ask(&address, ready))
        }
        Command::Sign { url, sign_key_file, expires_in } => {
            access::sign_url(&url, &sign_key_file, expires_in).and_then(|url| stdout::write(url.as_bytes()))
        }
        Command::Purge(args) => purge::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "wholeplate", &mut script);
            stdout::write(&script)
        }
        Command::Manual { folder } => write_manual(&folder),
        Command::StraceCheck { file, json, per_process } => {
            return strace_check::run(&file, json, per_process);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // A closed standard error does not change the status.
            let _ = writeln!(std::io::stderr(), "wholeplate: {message}");
            ExitCode::FAILURE
        }
    }
}

/// `wholeplate dev npx vite`: names what is missing.
fn with_hint(mut error: clap::Error) -> clap::Error {
    let is_dev = std::env::args_os().nth(1).is_some_and(|name| name == "dev");
    if is_dev
        && error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg)
        && !argument.starts_with('-')
    {
        let hint =
            format!("the command goes after two dashes: wholeplate dev [OPTIONS] -- {argument} [ARGUMENTS]");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    }
    error
}

fn write_manual(folder: &Path) -> Result<(), String> {
    let written =
        std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.map_err(|e| format!("{}: {e}", folder.display()))
}

/// Only the models are settings of the command line; other variables are those of a service.
fn command_line_config(ModelFiles(models): ModelFiles) -> Result<Config, String> {
    let is_model = |name: &OsString| {
        let setting = config::settings().into_iter().find(|s| s.variable().as_str() == name);
        setting.is_some_and(|s| cli::is_model(&s.name))
    };
    let environment = std::env::vars_os().filter(|(name, _)| is_model(name));
    Layers::read(None, environment, models)?.config()
}

fn load(settings: Settings) -> Result<Layers, String> {
    Layers::read(settings.file.as_deref(), std::env::vars_os(), settings.given)
}

/// `PORT` is the development server's.
fn load_dev(settings: Settings) -> Result<Layers, String> {
    let environment = std::env::vars_os().filter(|(name, _)| name != config::PORT);
    Layers::read(settings.file.as_deref(), environment, settings.given)
}

fn print_config(settings: Settings) -> Result<(), String> {
    let layers = load(settings)?;
    layers.config()?;
    stdout::write(layers.to_toml().as_bytes())
}
