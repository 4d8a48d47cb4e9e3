//! Predicts hit rates and throughput of several nodes that share a bucket.
//!
//! `fleet-sim replay FILE`: a closed loop of clients, event by event, for a set-up that can be measured beside it.
//! `fleet-sim plan FILE`: a service of a size that cannot be measured here, by the same costs and the same eviction.
//! FILE holds the parameters; `bench/fleet/run.py` writes it. The answer is JSON.

mod balancer;
mod memory;
mod mix;
mod parameters;
mod plan;
mod replay;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, file] = arguments.as_slice() else {
        eprintln!("usage: fleet-sim replay|plan FILE");
        return ExitCode::from(2);
    };
    let answer = std::fs::read_to_string(file).map_err(|e| e.to_string()).and_then(|text| match command.as_str() {
        "replay" => json(&replay::run(&parse(&text)?)),
        "plan" => json(&plan::run(&parse(&text)?)),
        other => Err(format!("'{other}' is neither replay nor plan")),
    });
    match answer {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("fleet-sim: {file}: {message}");
            ExitCode::FAILURE
        }
    }
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|e| e.to_string())
}

fn json(value: &impl serde::Serialize) -> Result<String, String> {
    serde_json::to_string_pretty(value).map_err(|e| e.to_string())
}
