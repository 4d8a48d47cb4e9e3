//! The table, as text and as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::case::VERSIONS;
use crate::measure::{Measured, describe};

/// Whether the row matches the published result for its version.
pub fn as_published(measured: &Measured) -> bool {
    expected(measured).is_some_and(|expected| expected.met_by(measured.cut_by_client, measured.runs))
}

fn expected(measured: &Measured) -> Option<crate::case::Expected> {
    let index = VERSIONS.iter().position(|version| *version == measured.version)?;
    Some(measured.case.expected[index])
}

/// One line while the lab runs.
pub fn progress(measured: &Measured) -> String {
    let mut line = format!(
        "{} hyper {:8} cut by client {}/{}, by ledger {}, agree {}, {:.1} s",
        measured.case.letter,
        measured.version,
        measured.cut_by_client,
        measured.runs,
        measured.cut_by_ledger,
        percent(measured),
        measured.took.as_secs_f64()
    );
    if let Some(example) = &measured.example {
        let _ = write!(line, "; {}", describe(example));
    }
    for (cause, number) in &measured.causes {
        let _ = write!(line, "; {number} {cause}");
    }
    for (what, ids) in [
        ("FALSE ALARM", &measured.false_alarms),
        ("MISSED", &measured.missed),
        ("other byte counts", &measured.counts_differ),
    ] {
        if !ids.is_empty() {
            let _ = write!(line, "; {what}: {}", ids.iter().take(5).cloned().collect::<Vec<_>>().join(" "));
        }
    }
    if !measured.complete {
        line.push_str("; the ledger has not seen each response once");
    }
    line
}

fn percent(measured: &Measured) -> String {
    // Rounded down, so that 100 % means all.
    let tenths = measured.agreeing() * 1000 / measured.runs.max(1);
    if tenths == 1000 { "100 %".to_owned() } else { format!("{}.{} %", tenths / 10, tenths % 10) }
}

/// The table in Markdown: in each cell, cut for the client / responses, then the ledger's number, then the agreement.
pub fn human(rows: &[Vec<Measured>]) -> String {
    let mut text = String::new();
    let Some(first) = rows.first() else {
        return text;
    };
    text.push_str("Cut for the client / responses · cut by the ledger · agreement\n\n| case |");
    for measured in first {
        let _ = write!(text, " {} |", measured.version);
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(first.len()));
    text.push('\n');
    for row in rows {
        let Some(first) = row.first() else { continue };
        let _ = write!(text, "| {} {} |", first.case.letter, first.case.title);
        for measured in row {
            let mark = if as_published(measured) { "" } else { " (!)" };
            let _ = write!(
                text,
                " {}/{} · {} · {}{mark} |",
                measured.cut_by_client,
                measured.runs,
                measured.cut_by_ledger,
                percent(measured)
            );
        }
        text.push('\n');
    }
    let all = || rows.iter().flatten();
    let sum = |what: fn(&Measured) -> usize| -> usize { all().map(what).sum() };
    let _ = writeln!(
        text,
        "\nThe ledger agrees with the client in {} of {} responses: {} false alarms, {} cuts missed.",
        sum(Measured::agreeing),
        sum(|measured| measured.runs),
        sum(|measured| measured.false_alarms.len()),
        sum(|measured| measured.missed.len()),
    );
    for measured in all().filter(|measured| !as_published(measured)) {
        let _ = writeln!(
            text,
            "(!) row {} on hyper {}: {} of {} cut, published: {}.",
            measured.case.letter,
            measured.version,
            measured.cut_by_client,
            measured.runs,
            expected(measured).map_or("nothing", crate::case::Expected::word)
        );
    }
    text
}

pub fn json(rows: &[Vec<Measured>]) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .flatten()
        .map(|measured| {
            json!({
                "row": measured.case.letter.to_string(),
                "title": measured.case.title,
                "hyper": measured.version,
                "answers": measured.runs,
                "cut_by_client": measured.cut_by_client,
                "cut_by_ledger": measured.cut_by_ledger,
                "agreeing": measured.agreeing(),
                "false_alarms": measured.false_alarms,
                "missed": measured.missed,
                "other_byte_counts": measured.counts_differ,
                "every_response_seen": measured.complete,
                "causes": measured.causes.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
                "as_published": as_published(measured),
                "example": measured.example.as_ref().map(describe),
                "seconds": measured.took.as_secs_f64(),
            })
        })
        .collect();
    json!({ "rows": rows })
}
