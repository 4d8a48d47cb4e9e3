//! `wholeplate strace-check`: opens the trace and prints what was cut.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::process::ExitCode;

use strace_check::{Error, Format, Options, Tables, report};

/// Exit status: 0 when no response was cut, 1 when one was, 2 when the trace could not be read, or could not have
/// shown a cut.
pub(crate) fn run(file: &Path, json: bool, per_process: bool) -> ExitCode {
    let format = if json { Format::JsonLines } else { Format::Table };
    let mut options = Options::default();
    if per_process {
        options.tables = Tables::PerProcess;
    }
    let mut out = io::stdout().lock();
    let outcome = if file.as_os_str() == "-" {
        report(io::stdin().lock(), &mut out, format, &options)
    } else {
        match File::open(file) {
            Ok(opened) => report(BufReader::with_capacity(256 << 10, opened), &mut out, format, &options),
            Err(error) => Err(Error::Read(error)),
        }
    };
    match outcome {
        Ok(summary) => {
            // Beside the report, so that what reads the report sees the same as before.
            for doubt in &summary.doubts {
                eprintln!("wholeplate: {}: warning: {doubt}", file.display());
            }
            ExitCode::from(summary.exit_status())
        }
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            eprintln!("wholeplate: {}: {error}{cause}", file.display());
            ExitCode::from(2)
        }
    }
}
