//! Predicts hit rates and throughput of several nodes that share a bucket.
//!
//! `fleet-sim replay FILE`: a closed loop of clients, event by event, for a set-up that can be measured beside it.
//! `fleet-sim plan FILE`: a service of a size that cannot be measured here, by the same costs and the same eviction.
//! `fleet-sim load ADDRESS CLIENTS LIST`: asks for the targets of a file, one a line, and tells how long it took.
//! FILE holds the parameters; `bench/fleet/run.py` writes it. The answer is JSON.

mod balancer;
mod load;
mod memory;
mod mix;
mod parameters;
mod plan;
mod replay;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let read = |file: &str| std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"));
    let answer = match arguments.as_slice() {
        ["replay", file] => read(file).and_then(|text| json(&replay::run(&parse(&text)?))),
        ["plan", file] => read(file).and_then(|text| json(&plan::run(&parse(&text)?))),
        ["load", address, clients, file] => read(file).and_then(|text| {
            let clients = clients.parse().map_err(|e| format!("{clients}: {e}"))?;
            json(&load::run(address, clients, &text)?)
        }),
        _ => {
            eprintln!("usage: fleet-sim replay|plan FILE, or fleet-sim load ADDRESS CLIENTS LIST");
            return ExitCode::from(2);
        }
    };
    match answer {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("fleet-sim: {message}");
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
