//! The command line: files in, files out, and what it says when something is wrong.

#![allow(clippy::unwrap_used)]

mod support;

use std::process::{Command, Output};

use codecs::Format;
use support::{flag, photo};

fn run(directory: &std::path::Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wholeplate")).args(arguments).current_dir(directory).output().unwrap()
}

fn said(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn pictures() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.png"), flag()).unwrap();
    std::fs::write(dir.path().join("b.jpg"), photo(90, 60, Format::Jpeg)).unwrap();
    std::fs::write(dir.path().join("notes.txt"), "no image").unwrap();
    dir
}

#[test]
fn several_files_go_into_a_directory() {
    let dir = pictures();
    let done =
        run(dir.path(), &["transform", "*.png", "b.jpg", "-o", "out", "--options", "width=30,format=webp"]);
    assert!(done.status.success(), "{:?}", said(&done));
    for (name, size) in [("out/a.webp", (30, 15)), ("out/b.webp", (30, 20))] {
        let bytes = std::fs::read(dir.path().join(name)).unwrap();
        assert_eq!(imaging::probe(&bytes).unwrap().oriented_size(), size);
    }
}

#[test]
fn a_bad_file_does_not_stop_the_others() {
    let dir = pictures();
    let done = run(dir.path(), &["transform", "notes.txt", "a.png", "-o", "out/", "--options", "width=30"]);
    let (_, errors) = said(&done);
    assert!(
        !done.status.success() && errors.contains("notes.txt") && errors.contains("ERROR 9412"),
        "{errors}"
    );
    assert!(dir.path().join("out").read_dir().unwrap().count() == 1);
}

#[test]
fn options_are_checked_and_warned_about() {
    let dir = pictures();
    let bad = run(dir.path(), &["transform", "a.png", "-o", "x.png", "--options", "blur=300"]);
    assert!(!bad.status.success() && said(&bad).1.contains("blur"));
    assert!(!dir.path().join("x.png").exists());
    let odd = run(dir.path(), &["transform", "a.png", "-o", "x.png", "--options", "nosuch=1,width=9"]);
    assert!(odd.status.success() && said(&odd).1.contains("nosuch"));
    let strict = run(dir.path(), &["transform", "a.png", "-o", "y.png", "--strict", "--options", "nosuch=1"]);
    assert!(!strict.status.success());
}

// URL-110: the same shape as format=json.
#[test]
fn info_is_one_object_a_line() {
    let dir = pictures();
    let done = run(dir.path(), &["info", "a.png", "b.jpg"]);
    let (out, _) = said(&done);
    let lines: Vec<serde_json::Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["original"]["format"], "image/png");
    assert_eq!((lines[1]["width"].as_u64(), lines[1]["height"].as_u64()), (Some(90), Some(60)));
    assert!(!run(dir.path(), &["info", "notes.txt"]).status.success());
}

#[test]
fn what_is_misconfigured_does_not_start_and_is_named() {
    let dir = pictures();
    std::fs::write(dir.path().join("bad.toml"), "quue = 3\n").unwrap();
    let cases: [(&[&str], &str); 5] = [
        (&["serve", "--config", "bad.toml"], "quue"),
        (&["serve", "--origin", "nowhere"], "nowhere"),
        (&["serve", "--memory", "0"], "memory"),
        (&["serve", "--allow-origin", "https://"], "allow-origin"),
        (&["serve", "--listen", "nonsense"], "listen: 'nonsense'"),
    ];
    for (arguments, named) in cases {
        let done = run(dir.path(), arguments);
        assert!(!done.status.success() && said(&done).1.contains(named), "{arguments:?}: {:?}", said(&done));
    }
    let done = Command::new(env!("CARGO_BIN_EXE_wholeplate"))
        .arg("config")
        .env("WHOLEPLATE_QUUE", "1")
        .output()
        .unwrap();
    assert!(!done.status.success() && said(&done).1.contains("WHOLEPLATE_QUUE"));
}

#[test]
fn the_effective_configuration_can_be_used_again() {
    let dir = pictures();
    let printed = run(dir.path(), &["config", "--queue", "7", "--allow-origin", "*.example.com"]);
    assert!(printed.status.success());
    std::fs::write(dir.path().join("w.toml"), &printed.stdout).unwrap();
    let again = run(dir.path(), &["config", "--config", "w.toml"]);
    assert_eq!(said(&again).0, said(&printed).0);
    assert!(said(&again).0.contains("queue = 7"));
    assert!(said(&run(dir.path(), &["completions", "bash"])).0.contains("wholeplate"));
    assert!(said(&run(dir.path(), &["serve", "--help"])).0.contains("Examples:"));
}

#[test]
fn config_and_serve_refuse_the_same_values_by_the_same_words() {
    let dir = pictures();
    let cases = [
        (["--listen", "foo"], "listen: 'foo'"),
        (["--admin", "foo"], "admin: 'foo'"),
        (["--origin", "nope"], "origin: nope"),
        (["--origin", "ftp://h.example/"], "origin: 'ftp://h.example/'"),
    ];
    for (flags, expected) in cases {
        for command in ["config", "serve"] {
            let done = run(dir.path(), &[&[command], &flags[..]].concat());
            assert!(!done.status.success(), "{command} {flags:?}");
            let (_, stderr) = said(&done);
            assert!(stderr.contains(expected), "{command} {flags:?}: {stderr}");
        }
    }
}

#[test]
fn a_header_that_strangers_could_send_is_warned_of_and_logs_have_no_colours() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let warned = |listen: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_wholeplate"))
            .args(["serve", "--listen", listen, "--cf-blob-header", "cf-blob"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on "), "{line}");
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let open = warned("0.0.0.0:0");
    assert!(open.contains("WARN") && open.contains("cf-blob-header"), "{open}");
    assert!(!open.contains('\u{1b}'), "{open:?}");
    assert!(!warned("127.0.0.1:0").contains("WARN"));
}
