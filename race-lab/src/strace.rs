//! One case under strace: a cut in system calls, and the recordings for the tests of strace-check.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use serde_json::json;

use crate::case::{Case, Runner, Transport};
use crate::client::{Outcome, exchange};
use crate::measure::describe;
use crate::options::Options;
use crate::response_spec::pattern;
use crate::server::{Folder, Server, build};

/// The traced calls: all calls that transfer bytes, or open and close descriptors of connections.
const CALLS: &str = "--trace=network,read,readv,write,writev,close,dup,dup2,dup3,fcntl,clone,clone3";
/// Lines shown at the beginning and at the end of a connection.
const SHOWN: usize = 8;

/// A recording: file name, hyper version, row, and options of strace.
const RECORDINGS: [(&str, &str, char, &[&str]); 9] = [
    ("hyper-1.8.1-cut", "1.8.1", 'F', &["-f", "-tt"]),
    ("hyper-1.8.1-cut-plain", "1.8.1", 'F', &["-f"]),
    ("hyper-1.8.1-cut-relative", "1.8.1", 'F', &["-f", "-r", "-yy"]),
    ("hyper-1.8.1-cut-s128", "1.8.1", 'F', &["-f", "-tt", "-T", "-y", "-s", "128"]),
    ("hyper-1.8.1-cut-tcp", "1.8.1", 'M', &["-f", "-ttt", "-T", "-yy", "-s", "128"]),
    ("hyper-1.12.0-whole", "1.12.0", 'F', &["-f", "-tt"]),
    ("hyper-1.12.0-whole-plain", "1.12.0", 'F', &["-f"]),
    ("hyper-1.12.0-whole-s128", "1.12.0", 'F', &["-f", "-ttt", "-T", "-y", "-s", "128"]),
    ("hyper-1.12.0-whole-tcp", "1.12.0", 'B', &["-f", "-t", "-yy"]),
];

/// Runs one response of a row under strace. Returns the trace since the start of the connection, and the received response.
fn trace(version: &str, case: &Case, flags: &[&str], folder: &Folder) -> io::Result<(String, Outcome)> {
    let Runner::Connections { script, .. } = case.runner else {
        return Err(io::Error::other("this row cannot be traced"));
    };
    let program = build(version)?;
    let tracer: Vec<&str> =
        ["strace", "-o", "trace", "--signal=none", CALLS].into_iter().chain(flags.iter().copied()).collect();
    let server = Server::start(&program, &tracer, case, folder.path()).map_err(|error| {
        io::Error::other(format!("{error}; is strace installed, and is tracing allowed here?"))
    })?;
    let outcome = exchange(&server.address, case.target, "trace", 0, &script, &pattern(15_000_000))?;
    server.finish()?;
    let text = String::from_utf8_lossy(&std::fs::read(folder.path().join("trace"))?).into_owned();
    let start = text.find("accept4(").map_or(0, |at| text[..at].rfind('\n').map_or(0, |end| end + 1));
    Ok((text[start..].to_owned(), outcome))
}

/// Writes the recordings to `target`.
pub fn record(target: &Path, folder: &Folder) -> io::Result<()> {
    std::fs::create_dir_all(target)?;
    for (name, version, letter, flags) in RECORDINGS {
        let mut case = Case::find(letter).ok_or_else(|| io::Error::other("no such row"))?;
        if name.ends_with("-tcp") {
            case.transport = Transport::Tcp;
        }
        let (text, outcome) = trace(version, &case, flags, folder)?;
        println!("{name}: strace {}; the client received {}", flags.join(" "), describe(&outcome));
        std::fs::write(target.join(format!("{name}.strace")), text)?;
    }
    Ok(())
}

/// Shows row F under strace, on an unfixed and on a fixed version, and marks the early shutdown. True
/// if the trace and the client agree.
pub fn show(options: &Options, folder: &Folder) -> io::Result<bool> {
    let case = Case::find('F').ok_or_else(|| io::Error::other("no such row"))?;
    let versions: Vec<&str> = ["1.8.1", "1.12.0"]
        .into_iter()
        .chain(crate::case::VERSIONS.into_iter().filter(|version| !["1.8.1", "1.12.0"].contains(version)))
        .enumerate()
        .filter(|(nth, version)| {
            options.names_version(version) || (*nth < 2 && options.wants_version(version))
        })
        .map(|(_, version)| version)
        .collect();
    let mut agree = true;
    let mut all = Vec::new();
    for version in versions {
        let (text, outcome) = trace(version, &case, &["-f", "-tt"], folder)?;
        let mut cuts = Vec::new();
        let summary = strace_check::check(
            text.as_bytes(),
            &mut |cut| cuts.push(cut),
            &strace_check::Options::default(),
        )
        .map_err(io::Error::other)?;
        agree &= (summary.cut == 1) != outcome.is_whole();
        if options.json {
            all.push(json!({
                "hyper": version,
                "received": outcome.received,
                "promised": outcome.promised,
                "cuts": cuts.iter().map(strace_check::Cut::to_json).collect::<Vec<_>>(),
            }));
            continue;
        }
        println!("hyper {version}, row F: {}\n", case.title);
        let marks: HashMap<u64, String> = cuts
            .iter()
            .map(|cut| {
                let after = cut.after.map_or_else(String::new, |after| {
                    format!(", {} us after the last write", after.as_micros())
                });
                (cut.line, format!("   <== too soon: {} bytes were never sent{after}", cut.missing))
            })
            .collect();
        print_connection(&text, &marks);
        println!("\nthe client received {}", describe(&outcome));
        println!("strace-check: {summary}");
        if !cuts.is_empty() {
            println!("{}", strace_check::HEADER);
        }
        for cut in &cuts {
            println!("{cut}");
        }
        println!();
    }
    if options.json {
        println!("{}", json!({ "traces": all }));
    }
    Ok(agree)
}

/// Prints the lines of the first connection: its beginning, its end, and every marked line.
fn print_connection(text: &str, marks: &HashMap<u64, String>) {
    let Some(fd) =
        text.lines().find(|line| line.contains("accept4") && !line.contains(" = -1")).and_then(|line| {
            let result = line.rsplit(" = ").next()?;
            result.split(|c: char| !c.is_ascii_digit()).next()?.parse::<i64>().ok()
        })
    else {
        return;
    };
    let here: Vec<(u64, &str)> = (1..)
        .zip(text.lines())
        .filter(|(_, line)| {
            line.contains(&format!("({fd},"))
                || line.contains(&format!("({fd})"))
                || line.ends_with(&format!(" = {fd}"))
        })
        .collect();
    let closed = here.iter().position(|(_, line)| line.contains("close(")).map_or(here.len(), |at| at + 1);
    let here = &here[..closed];
    let mut left_out = 0;
    for (nth, (number, line)) in here.iter().enumerate() {
        let mark = marks.get(number);
        if mark.is_none() && nth >= SHOWN && nth + SHOWN < here.len() {
            left_out += 1;
            continue;
        }
        if left_out > 0 {
            println!("      ... {left_out} more calls");
            left_out = 0;
        }
        println!("{number:>5} {line}{}", mark.map_or("", String::as_str));
    }
}
