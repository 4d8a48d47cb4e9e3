//! The program: the doors, the command line, and what holds them together.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

mod allocator;
mod app;
mod batch;
mod binding;
mod choices;
mod cli;
mod config;
mod error;
mod fields;
mod mapped;
mod memory;
mod metrics;
mod models;
mod pool;
mod produce;
mod request;
mod respond;
mod routes;
mod server;
mod signals;
mod sources;
mod stdout;
mod strace_check;
mod telemetry;

use crate::cli::{Cli, Command, Settings};
use crate::config::Config;

fn main() -> ExitCode {
    allocator::give_back_large_buffers();
    let outcome = match Cli::parse().command {
        Command::Serve(settings) => load(&settings).and_then(server::run),
        Command::Config(settings) => load(&settings).and_then(|config| print_config(&config)),
        Command::Transform { inputs, output, options, strict, extra_inputs, models } => {
            // Settings of a service are no business of files; the models are.
            let model = |name: &str| matches!(name, "WHOLEPLATE_SEGMENT_MODEL" | "WHOLEPLATE_UPSCALE_MODEL");
            Config::load(None, environment().filter(|(name, _)| model(name)), models.table()).and_then(
                |config| batch::transform(&inputs, &output, &options, strict, &extra_inputs, &config),
            )
        }
        Command::Info { files, extra_inputs, segment_model } => {
            batch::info(&files, &extra_inputs, segment_model.as_deref())
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "wholeplate", &mut script);
            stdout::write(&script)
        }
        Command::StraceCheck { file, json, per_process } => {
            return strace_check::run(&file, json, per_process);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("wholeplate: {message}");
            ExitCode::FAILURE
        }
    }
}

fn load(settings: &Settings) -> Result<Config, String> {
    Config::load(settings.config.as_deref(), environment(), settings.table())
}

fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
}

fn print_config(config: &Config) -> Result<(), String> {
    let text = toml::to_string(config).map_err(|e| e.to_string())?;
    stdout::write(text.as_bytes())
}
