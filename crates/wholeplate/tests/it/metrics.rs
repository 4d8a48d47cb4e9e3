//! What `/metrics` shows, and that dashboard, alert rules and documents ask for nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use codecs::Format;

use crate::support::{Form, Server, photo};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A server with every tier of the cache that needs no other service, to which each route was put to use.
fn used() -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().to_str().unwrap();
    let flags = ["--admin", "127.0.0.1:0", "--cache-dir", cache];
    let server = Server::start(&[("a.jpg", photo(64, 48, Format::Jpeg))], &flags);
    assert_eq!(server.image("width=9,format=webp", "a.jpg").status, 200);
    assert_eq!(server.image("width=9", "missing.jpg").error(), (404, 9404));
    let form = Form::new()
        .file("image", &photo(32, 24, Format::Png))
        .text("transforms", "[]")
        .text("output_format", "image/jpeg")
        .closed();
    assert_eq!(server.post("/transform", &form, 1 << 16).status, 200);
    (server, folder)
}

/// The series of a server: the labels of each name.
fn series(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.trim_end_matches('}').split("\",").filter_map(|label| label.split_once('='));
        all.entry(name).or_default().extend(labels.map(|(label, _)| label));
    }
    all
}

/// Names of our metrics in a query, with the labels that their selectors ask for.
fn asked(query: &str) -> Vec<(&str, Vec<&str>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for prefix in ["wholeplate_", "process_"] {
        for (at, _) in query.match_indices(prefix) {
            if query[..at].ends_with(is_name) {
                continue;
            }
            let rest = &query[at..];
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let selector = rest[end..].strip_prefix('{').map_or("", |s| &s[..s.find('}').unwrap()]);
            let selected = selector.split("\",").filter(|part| !part.is_empty());
            let selected = selected.map(|part| &part[..part.find(['=', '!']).unwrap()]);
            found.push((&rest[..end], selected.collect()));
        }
    }
    found
}

/// The labels by which a query groups.
fn grouped(query: &str) -> Vec<&str> {
    let lists = query.match_indices(" by (").map(|(at, by)| &query[at + by.len()..]);
    lists.flat_map(|list| list[..list.find(')').unwrap()].split(',').map(str::trim)).collect()
}

/// Prometheus adds these two labels to what it scrapes.
fn is_added(label: &str) -> bool {
    matches!(label, "instance" | "job")
}

/// Every string under the key `expr`, at any depth.
fn expressions(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(text) if key == "expr" => found.push(text.to_owned()),
                    _ => expressions(value, found),
                }
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

/// The text after each `expr:` of a file of rules, to the next key.
fn rule_expressions(rules: &str) -> Vec<String> {
    let parts = rules.split("\n        expr: ").skip(1);
    let end =
        |part: &str| ["\n        for:", "\n        labels:"].iter().filter_map(|key| part.find(key)).min();
    parts.map(|part| part[..end(part).unwrap()].to_owned()).collect()
}

// OPS-050, OPS-053: a query that names what is not there shows nothing, and an alert on it never fires.
#[test]
fn dashboard_and_rules_ask_for_what_is_there() {
    let (server, _cache) = used();
    let text = server.ask_admin("/metrics").text();
    let there = series(&text);
    let mut queries = Vec::new();
    let dashboard = serde_json::from_str(&read("deploy/grafana/wholeplate.json")).unwrap();
    expressions(&dashboard, &mut queries);
    let of_dashboard = queries.len();
    let rules = read("deploy/prometheus/wholeplate.rules.yml");
    queries.extend(rule_expressions(&rules));
    assert_eq!(queries.len() - of_dashboard, rules.matches("- alert:").count());
    assert!(of_dashboard > 30, "{of_dashboard}");
    for query in &queries {
        let asked = asked(query);
        assert!(!asked.is_empty() || query.starts_with("up{"), "{query}");
        for (name, labels) in &asked {
            let there = there.get(name).unwrap_or_else(|| panic!("no metric {name}, for {query}"));
            for label in labels {
                assert!(there.contains(label) || is_added(label), "{name} has no {label}: {query}");
            }
        }
        for label in grouped(query) {
            let known = asked.iter().any(|(name, _)| there[name].contains(label));
            assert!(known || is_added(label), "nothing has {label}: {query}");
        }
    }
}

// OPS-053: by route, by host of the source, by formats, by status and error number; waits apart from work; estimates.
#[test]
fn every_dimension_is_there_and_documented() {
    let (server, _cache) = used();
    let text = server.ask_admin("/metrics").text();
    for line in [
        "wholeplate_routed_responses_total{route=\"/cdn-cgi/image\",status=\"200\",error=\"0\"} 1",
        "wholeplate_routed_responses_total{route=\"/cdn-cgi/image\",status=\"404\",error=\"9404\"} 1",
        "wholeplate_transformations_total{route=\"/cdn-cgi/image\",host=\"origin\",from=\"image/jpeg\",to=\"image/webp\"} 1",
        "wholeplate_transformations_total{route=\"/transform\",host=\"upload\",from=\"image/png\",to=\"image/jpeg\"} 1",
        "wholeplate_transformation_failures_total{route=\"/cdn-cgi/image\",host=\"origin\",status=\"404\",error=\"9404\"} 1",
        "wholeplate_queue_seconds_count 2",
        "wholeplate_render_seconds_count 2",
        "wholeplate_time_estimate_ratio_count 2",
        "wholeplate_memory_estimate_ratio_count 2",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    // Each name has its type and its help, once.
    let there = series(&text);
    let document = read("docs/operating.md");
    let types: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let names: BTreeSet<&str> = types.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names.len(), types.len(), "{types:?}");
    for name in &names {
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        assert!(document.contains(&format!("`{name}")), "docs/operating.md does not explain {name}");
    }
    for name in there.keys() {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        assert!(names.contains(name) || family.is_some_and(|f| names.contains(f)), "{name} has no type");
    }
    // And the document names nothing else.
    for part in document.split('`').filter(|part| part.starts_with("wholeplate_")) {
        let name = part.split('{').next().unwrap();
        assert!(
            names.contains(name) || name == "wholeplate_cache_store_seconds",
            "docs/operating.md names {name}"
        );
    }
}

// OPS-050
#[test]
fn alerts_fire_when_they_should() {
    let found = Command::new("promtool").arg("--version").output().is_ok_and(|done| done.status.success());
    if !found {
        eprintln!("skipped: there is no promtool here");
        return;
    }
    let folder = root().join("deploy/prometheus");
    let run =
        |arguments: &[&str]| Command::new("promtool").args(arguments).current_dir(&folder).output().unwrap();
    for arguments in [
        ["check", "rules", "--lint-fatal", "wholeplate.rules.yml"].as_slice(),
        &["test", "rules", "wholeplate.rules.test.yml"],
    ] {
        let done = run(arguments);
        let said = [done.stdout, done.stderr].concat();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&said));
    }
    // Each alert has a test in which it fires, and one in which it does not.
    let (rules, tests) =
        (read("deploy/prometheus/wholeplate.rules.yml"), read("deploy/prometheus/wholeplate.rules.test.yml"));
    for name in rules.split("- alert: ").skip(1).map(|rule| rule.lines().next().unwrap()) {
        assert!(tests.contains(&format!("alertname: {name}\n        exp_alerts:\n")), "{name} is not tested");
        assert!(tests.contains(&format!("alertname: {name}, exp_alerts: [] }}")), "{name} is not tested");
    }
}

// OPS-050: a variable that is not a setting would be ignored.
#[test]
fn deployment_files_name_settings_that_exist() {
    let settings = read("docs/settings.md");
    let mut files = vec![root().join("deploy")];
    let mut checked = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for (at, prefix) in text.match_indices("WHOLEPLATE_") {
            let rest = &text[at + prefix.len()..];
            // Part of another name: the platform gives the address of a port in SERVICE_URL_WHOLEPLATE_8565.
            if text[..at].ends_with('_') {
                continue;
            }
            let end = rest.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap_or(rest.len());
            let setting = rest[..end].to_ascii_lowercase().replace('_', "-");
            let known = settings.contains(&format!("| `{setting}`")) || setting == "config";
            assert!(known, "{}: {setting} is no setting", path.display());
            checked += 1;
        }
    }
    assert!(checked > 0);
}

#[test]
fn queries_are_read_for_names_and_labels() {
    let query =
        "sum by (a, b) (rate(wholeplate_x_total{c=~\"d,e\",f!=\"g\"}[5m])) / process_y + other_wholeplate_z";
    assert_eq!(asked(query), [("wholeplate_x_total", vec!["c", "f"]), ("process_y", vec![])]);
    assert_eq!(grouped(query), ["a", "b"]);
}
