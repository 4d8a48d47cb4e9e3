//! The command line: input files, output files, errors and warnings.

use std::process::{Command, Output};
use work::Work;

use crate::support::{flag, photo};
use codecs::Format;

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
        assert_eq!(imaging::probe(&bytes, &Work::unlimited()).unwrap().oriented_size(), size);
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
    let cases: [(&[&str], &str); 9] = [
        (&["serve", "--queue", "7"], "--queue: this setting is gone; set queue-timeout"),
        (&["serve", "--compute-timeout", "9223372036854775807"], "--compute-timeout: "),
        (&["serve", "--memory", "17592186044416"], "--memory: "),
        (&["serve", "--config", "bad.toml"], "quue"),
        (&["serve", "--listen", "none"], "listen: 'none'"),
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
    let printed = run(dir.path(), &["config", "--workers", "7", "--allow-origin", "*.example.com"]);
    assert!(printed.status.success());
    std::fs::write(dir.path().join("w.toml"), &printed.stdout).unwrap();
    let again = run(dir.path(), &["config", "--config", "w.toml"]);
    assert_eq!(said(&again).0, said(&printed).0);
    assert!(said(&again).0.contains("workers = 7"));
    assert!(said(&run(dir.path(), &["completions", "bash"])).0.contains("wholeplate"));
    let help = said(&run(dir.path(), &["serve", "--help"])).0;
    assert!(
        help.contains("Examples:") && help.contains("Sources:\n") && help.contains("--allow-origin"),
        "{help}"
    );
}

// OPS-052: the archive contains a manual page for each command.
#[test]
fn every_command_has_a_manual_page() {
    let dir = pictures();
    let written = run(dir.path(), &["manual", "man/man1"]);
    assert!(written.status.success(), "{}", said(&written).1);
    let help = said(&run(dir.path(), &["--help"])).0;
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let names =
        commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|n| !n.is_empty());
    let mut pages = 0;
    for name in names.filter(|name| *name != "help") {
        let page = dir.path().join(format!("man/man1/wholeplate-{name}.1"));
        assert!(std::fs::read_to_string(&page).unwrap().contains(".SH NAME"), "{name}");
        pages += 1;
    }
    assert!(pages >= 12, "{help}");
    let serve = std::fs::read_to_string(dir.path().join("man/man1/wholeplate-serve.1")).unwrap();
    assert!(serve.contains("queue\\-timeout"), "{serve}");
    let refused = run(dir.path(), &["manual", "a.png"]);
    assert!(!refused.status.success() && said(&refused).1.contains("a.png: "), "{}", said(&refused).1);
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
    // On a kernel without a part of the sandbox, there is another warning.
    let private = warned("127.0.0.1:0");
    let mut warnings = private.lines().filter(|line| line.contains("WARN") && !line.contains("not in force"));
    assert_eq!(warnings.next(), None);
}

/// Runs the command on one small image and returns its standard error.
fn to(dir: &std::path::Path, output: &str, options: &str) -> (bool, String) {
    let done = run(dir, &["transform", "a.png", "-o", output, "--options", options]);
    (done.status.success(), said(&done).1)
}

fn format_of(path: &std::path::Path) -> Format {
    imaging::probe(&std::fs::read(path).unwrap(), &Work::unlimited()).unwrap().format
}

#[test]
fn a_link_stays_and_what_it_leads_to_is_replaced() {
    let dir = pictures();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("real")).unwrap();
    std::fs::write(at("real/old.png"), "old").unwrap();
    // A link to a link, a link to a missing file, and a link to a device.
    for (link, target) in [
        ("one.png", "real/old.png"),
        ("two.png", "one.png"),
        ("new.png", "real/new.png"),
        ("null.png", "/dev/null"),
        ("loop.png", "loop.png"),
    ] {
        std::os::unix::fs::symlink(target, at(link)).unwrap();
    }
    for link in ["two.png", "new.png", "null.png"] {
        assert_eq!(to(dir.path(), link, "width=20"), (true, String::new()), "{link}");
        assert!(std::fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link} was replaced");
    }
    assert_eq!((format_of(&at("real/old.png")), format_of(&at("real/new.png"))), (Format::Png, Format::Png));
    assert!(std::fs::symlink_metadata(at("one.png")).unwrap().is_symlink());
    let (done, errors) = to(dir.path(), "loop.png", "width=20");
    assert!(!done && errors.contains("loop.png"), "{errors}");
    assert!(std::fs::symlink_metadata(at("loop.png")).unwrap().is_symlink());
}

#[test]
fn a_fifo_is_written_and_stays_and_a_socket_is_refused() {
    use std::os::unix::fs::FileTypeExt;
    let dir = pictures();
    let fifo = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let reader = std::thread::spawn({
        let fifo = fifo.clone();
        move || std::fs::read(fifo).unwrap()
    });
    let (done, errors) = to(dir.path(), "pipe", "width=20,format=webp");
    let stays = std::fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo();
    assert!(done && stays, "{errors}");
    assert_eq!(imaging::probe(&reader.join().unwrap(), &Work::unlimited()).unwrap().format, Format::WebP);

    let socket = dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let (done, errors) = to(dir.path(), "socket", "width=20");
    assert!(!done && errors.contains("socket"), "{errors}");
    assert!(std::fs::symlink_metadata(&socket).unwrap().file_type().is_socket());
}

#[test]
fn standard_output_by_its_other_name_is_not_opened_anew() {
    let dir = pictures();
    let log = dir.path().join("log");
    std::fs::write(&log, "before").unwrap();
    std::os::unix::fs::symlink("/proc/self/fd/1", dir.path().join("out")).unwrap();
    let file = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_wholeplate"))
        .args(["transform", "a.png", "-o", "out", "--options", "width=20,format=png"])
        .current_dir(dir.path())
        .stdout(file)
        .status()
        .unwrap();
    assert!(done.success());
    assert!(std::fs::read(&log).unwrap().starts_with(b"before\x89PNG"));
}

#[test]
fn two_results_of_one_name_are_refused_before_any_work() {
    let dir = pictures();
    for (folder, name) in [("x", "q.jpg"), ("y", "q.jpg")] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
        std::fs::write(dir.path().join(folder).join(name), photo(9, 6, Format::Jpeg)).unwrap();
    }
    std::fs::write(dir.path().join("a.jpg"), photo(9, 6, Format::Jpeg)).unwrap();
    for (one, other) in [("a.jpg", "a.png"), ("x/q.jpg", "y/q.jpg")] {
        let done =
            run(dir.path(), &["transform", one, other, "-o", "out/", "--options", "width=5,format=webp"]);
        let (_, errors) = said(&done);
        assert!(!done.status.success() && errors.contains(one) && errors.contains(other), "{errors}");
        assert!(!dir.path().join("out").exists());
    }
    // A file that two patterns match is one input, so no names collide.
    let done = run(dir.path(), &["transform", "b.*", "*.jpg", "-o", "out/", "--options", "width=5"]);
    assert!(done.status.success(), "{:?}", said(&done));
    assert_eq!(dir.path().join("out").read_dir().unwrap().count(), 2);
}

#[test]
fn the_extension_of_the_output_is_its_format() {
    let dir = pictures();
    for (name, format) in [
        ("o.jpg", Format::Jpeg),
        ("o.JPEG", Format::Jpeg),
        ("o.png", Format::Png),
        ("o.webp", Format::WebP),
        ("o.avif", Format::Avif),
        ("o.gif", Format::Gif),
    ] {
        assert_eq!(to(dir.path(), name, "width=20"), (true, String::new()), "{name}");
        assert_eq!(format_of(&dir.path().join(name)), format, "{name}");
    }
    // The bytes equal those with the format among the options.
    assert!(to(dir.path(), "said", "width=20,format=webp").0);
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert_eq!(read("said"), read("o.webp"));
    assert!(to(dir.path(), "o.json", "width=20").0 && read("o.json").starts_with(b"{"));

    // The options are obeyed, with a warning about the extension.
    for (name, options, held) in [
        ("p.webp", "width=20,format=jpeg", "JPEG"),
        ("p.png", "width=20,format=json", "JSON"),
        ("p.json", "width=20,format=png", "PNG"),
        ("p.tiff", "width=20,format=png", "PNG"),
    ] {
        let (done, errors) = to(dir.path(), name, options);
        assert!(done && errors.contains("warning") && errors.contains(name), "{errors}");
        assert!(errors.contains(held), "{errors}");
    }
    assert_eq!(format_of(&dir.path().join("p.webp")), Format::Jpeg);
}

#[test]
fn errors_name_the_file_that_was_asked_for() {
    let dir = pictures();
    let (done, errors) = to(dir.path(), "nowhere/o.png", "width=20");
    assert!(!done && errors.contains("nowhere/o.png: ") && !errors.contains(".tmp"), "{errors}");
}

#[test]
fn a_replaced_file_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let dir = pictures();
    let path = dir.path().join("o.png");
    std::fs::write(&path, "old").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(to(dir.path(), "o.png", "width=20").0);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

// A closed pipe ends the program silently with status 1; a full disk is reported.
#[test]
fn output_that_cannot_be_written_is_no_panic() {
    let dir = pictures();
    let to = |arguments: &[&str], out: std::process::Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wholeplate"));
        command.args(arguments).current_dir(dir.path()).stdout(out).output().unwrap()
    };
    let commands: [&[&str]; 4] = [
        &["info", "a.png", "b.jpg"],
        &["config"],
        &["completions", "bash"],
        &["transform", "a.png", "-o", "-", "--options", "width=9,format=png"],
    ];
    for arguments in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let left = to(arguments, writer.into());
        assert_eq!((left.status.code(), said(&left).1.as_str()), (Some(1), ""), "{arguments:?}");
        let full = to(arguments, std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into());
        let (_, errors) = said(&full);
        assert_eq!(full.status.code(), Some(1), "{arguments:?}: {errors}");
        assert!(errors.contains("wholeplate: standard output: No space left"), "{arguments:?}: {errors}");
    }
}

// The service prints its address, and continues if standard output is closed.
#[test]
fn a_service_goes_on_without_a_reader_of_its_addresses() {
    let dir = pictures();
    let socket = dir.path().join("w.sock");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = Command::new(env!("CARGO_BIN_EXE_wholeplate"))
        .args(["serve", "--listen", "none", "--unix", socket.to_str().unwrap()])
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Other warnings may precede it.
    let mut errors = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    assert!(errors.any(|line| line.unwrap().contains("standard output")));
    std::os::unix::net::UnixStream::connect(&socket).unwrap();
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_new_file_has_the_permissions_that_any_new_file_has() {
    use std::os::unix::fs::PermissionsExt;
    let dir = pictures();
    let mode = |umask: &str, name: &str| {
        let script = format!("umask {umask}; exec \"$0\" transform a.png -o {name} --options width=20");
        let done = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_wholeplate")])
            .current_dir(dir.path())
            .status()
            .unwrap();
        assert!(done.success());
        std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode("022", "usual.png"), 0o644);
    assert_eq!(mode("077", "private.png"), 0o600);
    assert_eq!(mode("002", "shared.png"), 0o664);
    assert_eq!(mode("000", "open/"), 0o777);
    assert_eq!(mode("000", "open/all.png"), 0o666);
    // A replaced file keeps its mode.
    assert_eq!(mode("077", "shared.png"), 0o664);
}

#[test]
fn names_that_are_not_utf_8_are_names() {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let dir = pictures();
    let latin = |text: &[u8]| OsString::from_vec(text.to_vec());
    for folder in [latin(b"in"), latin(b"in/\xfcber")] {
        std::fs::create_dir(dir.path().join(&folder)).unwrap();
        for name in [&b"caf\xe9.png"[..], b"th\xe9.png", "z\u{e4}h.png".as_bytes()] {
            std::fs::write(dir.path().join(&folder).join(OsStr::from_bytes(name)), flag()).unwrap();
        }
    }
    let told = |arguments: &[&[u8]]| {
        let arguments = arguments.iter().map(|a| OsStr::from_bytes(a));
        let mut command = Command::new(env!("CARGO_BIN_EXE_wholeplate"));
        let done = command.args(arguments).current_dir(dir.path()).output().unwrap();
        assert!(done.status.success(), "{:?}", said(&done));
        said(&done).0.lines().count()
    };
    assert_eq!(told(&[b"info", b"in/caf\xe9.png"]), 1);
    // An invalid byte matches itself and `?`; `?` matches one character, not one byte.
    for (pattern, files) in [
        (&b"in/*.png"[..], 3),
        (b"./in/*", 3),
        (b"in/caf?.png", 1),
        (b"in/[ct]*\xe9.png", 2),
        (b"in/*[\xe8-\xea]*", 2),
        ("in/z?h.png".as_bytes(), 1),
        (b"in/*/*.png", 3),
        (b"in/**/*.png", 6),
        (b"**/\xfc*/t*", 1),
        (b"in/\xfcber/*", 3),
    ] {
        assert_eq!(told(&[b"info", pattern]), files, "{}", pattern.escape_ascii());
    }
    // Each file counts once, even if several patterns match it.
    assert_eq!(told(&[b"info", b"in/*.png", b"in/caf\xe9.png", b"**/**/caf*"]), 4);
    told(&[b"transform", b"in/*.png", b"-o", b"out/", b"--options", b"width=20,format=webp"]);
    for name in [&b"out/caf\xe9.webp"[..], b"out/th\xe9.webp", "out/z\u{e4}h.webp".as_bytes()] {
        assert_eq!(format_of(&dir.path().join(OsStr::from_bytes(name))), Format::WebP);
    }
    let none = run(dir.path(), &["info", "in/*.gif"]);
    assert!(
        !none.status.success() && said(&none).1.contains("in/*.gif: no file matches"),
        "{:?}",
        said(&none)
    );
    let wrong = run(dir.path(), &["info", "in/[.png"]);
    assert!(!wrong.status.success() && said(&wrong).1.contains("in/[.png: "), "{:?}", said(&wrong));
}

#[test]
fn what_is_refused_is_not_said_to_be_ignored() {
    let dir = pictures();
    let told = |options: &str, more: &[&str]| {
        let done =
            run(dir.path(), &[&["transform", "a.png", "-o", "x.png", "--options", options], more].concat());
        (done.status.success(), said(&done).1)
    };
    for (options, why) in [
        ("foo=1,width=9", "foo: unknown option"),
        ("width=abc", "width: 'abc' is not a number"),
        ("odd,width=9", "odd: not of the form name=value"),
        ("=5,width=9", "=5: not of the form name=value"),
    ] {
        let (done, warning) = told(options, &[]);
        assert!(done && warning.contains(&format!("warning: {why}, ignored\n")), "{options}: {warning}");
        let (done, error) = told(options, &["--strict"]);
        assert!(!done && error.contains(&format!("{why}\n")), "{options}: {error}");
    }
}

// URL-120: the plan includes the memory of an SVG.
#[test]
fn a_large_drawing_passes_through() {
    let dir = pictures();
    let paths = "<path fill=\"#123456\" d=\"M0 0L1 1\"/>\n".repeat(170_000);
    let drawing = format!("<svg xmlns=\"http://www.w3.org/2000/svg\">{paths}</svg>");
    std::fs::write(dir.path().join("large.svg"), &drawing).unwrap();
    let done = run(dir.path(), &["transform", "large.svg", "-o", "o.svg", "--options", "width=9"]);
    assert!(done.status.success(), "{:?}", said(&done));
    assert!(std::fs::metadata(dir.path().join("o.svg")).unwrap().len() >= drawing.len() as u64);
}

#[test]
fn without_options_the_extension_says_what_to_do() {
    let dir = pictures();
    let done = run(dir.path(), &["transform", "b.jpg", "-o", "b.webp"]);
    assert!(done.status.success(), "{:?}", said(&done));
    assert_eq!(format_of(&dir.path().join("b.webp")), Format::WebP);
    for output in ["out/", "-", "b.unknown"] {
        let done = run(dir.path(), &["transform", "b.jpg", "-o", output]);
        assert!(!done.status.success() && said(&done).1.contains("--options"), "{output}: {:?}", said(&done));
    }
}

#[test]
fn several_results_never_become_a_folder_with_the_name_of_a_file() {
    let dir = pictures();
    let batch = |output: &str| {
        run(dir.path(), &["transform", "a.png", "b.jpg", "-o", output, "--options", "width=30"])
    };
    let done = batch("single.webp");
    assert!(!done.status.success() && said(&done).1.contains("-o single.webp/"), "{:?}", said(&done));
    assert!(!dir.path().join("single.webp").exists());
    assert!(batch("single.webp/").status.success() && dir.path().join("single.webp").is_dir());
    assert!(batch("out").status.success());
    let done = run(dir.path(), &["transform", "b.jpg", "-o", "b.xyz", "--options", "width=30"]);
    assert!(
        done.status.success() && said(&done).1.contains("the name says xyz, the file holds JPEG"),
        "{:?}",
        said(&done)
    );
}

#[test]
fn a_batch_ends_with_a_summary() {
    let dir = pictures();
    let batch = ["transform", "a.png", "b.jpg", "notes.txt", "-o", "out/", "--options", "width=30"];
    let (_, errors) = said(&run(dir.path(), &batch));
    let summary = errors.lines().find(|line| line.starts_with("2 files, "));
    assert!(summary.is_some_and(|line| line.contains(" to ") && line.ends_with(" s")), "{errors}");
}

#[test]
fn the_doctor_warns_of_weak_settings_and_leaves_nothing_behind() {
    let dir = pictures();
    for (flags, warning) in [
        (
            vec!["--listen", "0.0.0.0:0", "--cf-blob-header", "cf-blob"],
            "cf-blob-header: cf-blob is believed on",
        ),
        (
            vec!["--listen", "127.0.0.1:0", "--allow-origin", "*", "--allow-private-network"],
            "allow-private-network: ",
        ),
        (vec!["--listen", "none"], "listen: 'none'"),
    ] {
        let done = run(dir.path(), &[&["doctor"], flags.as_slice()].concat());
        assert!(done.status.success(), "{flags:?}: {:?}", said(&done));
        assert!(said(&done).0.contains(&format!("warn  {warning}")), "{flags:?}: {:?}", said(&done));
    }
    std::fs::create_dir(dir.path().join("there")).unwrap();
    for folder in ["there", "new/cache"] {
        let done = run(
            dir.path(),
            &["doctor", "--listen", "127.0.0.1:0", "--unix", "w.sock", "--cache-dir", folder],
        );
        assert!(done.status.success(), "{:?}", said(&done));
        assert!(said(&done).0.contains("ok    cache-dir: the cache can be opened"), "{:?}", said(&done));
    }
    assert_eq!(std::fs::read_dir(dir.path().join("there")).unwrap().count(), 0);
    assert!(!dir.path().join("new").exists() && !dir.path().join("w.sock").exists());
}

#[test]
fn the_doctor_names_what_would_keep_the_service_from_working() {
    let dir = pictures();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let well = run(dir.path(), &["doctor", "--listen", "127.0.0.1:0", "--memory", "64"]);
    assert!(well.status.success(), "{:?}", said(&well));
    assert!(said(&well).0.contains("ok    listen: 127.0.0.1:0 is free"), "{:?}", said(&well));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    std::fs::write(dir.path().join("file"), "no key\n").unwrap();
    let cases: [(&[&str], String); 13] = [
        (&["--listen", &taken], format!("FAIL  listen: {taken}")),
        (&["--admin", &taken], format!("FAIL  --admin {taken}")),
        (&["--listen", &free, "--admin", &free], format!("FAIL  admin: {free} is the address of listen too")),
        (&["--memory", "4194304"], "FAIL  memory: 4194304 MiB".to_owned()),
        (
            &["--unix", "nowhere/w.sock"],
            "FAIL  --unix nowhere/w.sock: the folder nowhere does not exist".to_owned(),
        ),
        (&["--unix", "file"], "FAIL  --unix file: ".to_owned()),
        (&["--memory", "many"], "FAIL  configuration: --memory: 'many'".to_owned()),
        (&["--sign-key-file", "file"], "FAIL  sign-key-file file: line 1".to_owned()),
        (&["--tls-cert", "nowhere", "--tls-key", "file"], "FAIL  tls-cert nowhere: ".to_owned()),
        (&["--admin-token-file", "file"], "FAIL  admin-token-file: file: expected one token".to_owned()),
        (&["--cache-dir", "file/cache"], "FAIL  cache-dir: ".to_owned()),
        (&["--cache-store", "az://container"], "FAIL  cache-store: ".to_owned()),
        (&["--upscale-model", "file"], "FAIL  upscale-model: ".to_owned()),
    ];
    for (flags, named) in cases {
        let listen: &[&str] = if flags.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
        let done = run(dir.path(), &[&["doctor"], flags, listen].concat());
        assert!(!done.status.success() && said(&done).0.contains(&named), "{flags:?}: {:?}", said(&done));
    }
    let origin = format!("http://{taken}");
    let up = run(dir.path(), &["doctor", "--listen", "127.0.0.1:0", "--origin", &origin]);
    assert!(said(&up).0.contains(&format!("ok    origin: {origin} accepts")), "{:?}", said(&up));
    drop(listener);
    // It may start later.
    let down = run(dir.path(), &["doctor", "--listen", "127.0.0.1:0", "--origin", &origin]);
    assert!(down.status.success(), "{:?}", said(&down));
    assert!(said(&down).0.contains(&format!("warn  origin: {origin}: ")), "{:?}", said(&down));
    let serve = run(dir.path(), &["serve", "--listen", "none", "--unix", "nowhere/w.sock"]);
    assert!(
        said(&serve).1.contains("--unix nowhere/w.sock: the folder nowhere does not exist"),
        "{:?}",
        said(&serve)
    );
}
