//! Reproduces the bug that cuts the end of a response: unfixed and fixed versions of hyper, clients that stall, and the
//! received bytes compared with the ledger's verdict.

mod case;
mod client;
mod measure;
mod options;
mod server;
mod strace;
mod table;
mod workerd;

use std::io;
use std::process::ExitCode;

use case::{CASES, Case, Runner, VERSIONS};
use measure::Measured;
use options::Options;
use server::Folder;

fn main() -> ExitCode {
    let options = match Options::from_arguments(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("race-lab: {error}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("race-lab: {error}");
            ExitCode::from(2)
        }
    }
}

/// Returns true if every ledger agreed with every client and every row matched the published result.
fn run(options: &Options) -> io::Result<bool> {
    let folder = Folder::new()?;
    if let Some(target) = &options.record {
        strace::record(target, &folder)?;
        return Ok(true);
    }
    if options.strace {
        return strace::show(options, &folder);
    }
    run_table(options, &folder)
}

fn run_table(options: &Options, folder: &Folder) -> io::Result<bool> {
    let mut programs = Vec::new();
    for version in VERSIONS.into_iter().filter(|version| options.wants_version(version)) {
        eprintln!("building the server on hyper {version}");
        programs.push((version, server::build(version)?));
    }
    let cases: Vec<Case> = CASES
        .into_iter()
        .filter(|case| options.wants_row(case.letter))
        .map(|case| options.adjust(case))
        .collect();
    let workerd = if cases.iter().any(|case| matches!(case.runner, Runner::Workerd { .. })) {
        workerd::program().map_err(|reason| eprintln!("row K is skipped: {reason}")).ok()
    } else {
        None
    };
    let expected = response_spec::pattern(15_000_000);
    let mut rows: Vec<Vec<Measured>> = Vec::new();
    for case in cases {
        if matches!(case.runner, Runner::Workerd { .. }) && workerd.is_none() {
            continue;
        }
        let bytes =
            case.target.rsplit('/').next().and_then(|bytes| bytes.parse().ok()).unwrap_or(expected.len());
        let mut row = Vec::new();
        for (version, program) in &programs {
            let measured =
                measure::measure(case, version, program, workerd.as_deref(), folder, &expected[..bytes])?;
            eprintln!("{}", table::progress(&measured));
            row.push(measured);
        }
        rows.push(row);
    }
    if options.json {
        println!("{}", table::json(&rows));
    } else {
        print!("{}", table::human(&rows));
    }
    Ok(rows.iter().flatten().all(|measured| measured.ledger_is_right() && table::as_published(measured)))
}

/// The servers' module for specifications of responses; the client needs the expected bytes from it.
#[path = "../servers/shared/response_spec.rs"]
#[allow(dead_code, reason = "the client uses only the bytes of the responses")]
mod response_spec;
