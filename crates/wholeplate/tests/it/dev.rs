//! `wholeplate dev`: starts the development server, serves at one address, and leaves no process behind.
//!
//! These tests use `wholeplate serve` as the development server, because it prints its address.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Reply, flag};

const PROGRAM: &str = env!("CARGO_BIN_EXE_wholeplate");
/// After so long a program that does not end is killed.
const END_TIME: Duration = Duration::from_secs(20);

fn dev(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("dev").args(arguments).env_remove("PORT").stdin(Stdio::null());
    command
}

/// Runs the command to its end.
fn failed(arguments: &[&str]) -> (String, Output) {
    let done = dev(arguments).output().unwrap();
    assert!(!done.status.success(), "{arguments:?}");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(said.trim_end().lines().count(), 1, "one sentence: {said}");
    (said, done)
}

/// A folder with one picture, and the command that serves it.
fn site() -> (tempfile::TempDir, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("flag.png"), flag()).unwrap();
    let folder = dir.path().to_str().unwrap();
    let command = [PROGRAM, "serve", "--serve-originals", "--origin", folder, "--listen"];
    let command = command.map(str::to_owned).to_vec();
    (dir, command)
}

struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    seen: Vec<String>,
    /// Host and port of the address to open.
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Killed, it would leave its server behind.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
            let began = Instant::now();
            while matches!(self.child.try_wait(), Ok(None)) && began.elapsed() < END_TIME {
                std::thread::yield_now();
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Waits until the program prints its address.
    fn start(command: &mut Command) -> Self {
        Self::with_errors(command, Stdio::null())
    }

    fn with_errors(command: &mut Command, errors: Stdio) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = Vec::new();
        loop {
            let line = lines.next().unwrap_or_else(|| panic!("no address: {seen:?}")).unwrap();
            seen.push(line.clone());
            let Some(rest) = line.strip_prefix("http://") else { continue };
            let (address, _) = rest.split_once('/').unwrap();
            let address = address.to_owned();
            return Self { child, lines, seen, address };
        }
    }

    fn get(&self, target: &str) -> Reply {
        let port = self.address.rsplit_once(':').unwrap().1;
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        let head = format!("GET {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
        stream.write_all(head.as_bytes()).unwrap();
        Reply::read(&mut stream, false)
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// All lines until the end, and the exit status.
    fn end(mut self) -> (Vec<String>, std::process::ExitStatus) {
        let status = self.child.wait().unwrap();
        let mut seen = std::mem::take(&mut self.seen);
        for line in self.lines.by_ref() {
            seen.push(line.unwrap());
        }
        (seen, status)
    }
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap().success());
}

/// Whether a process is running; a zombie is not.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// A command for the shell that writes its process number to `file` and then sleeps.
fn sleeper(file: &Path) -> String {
    format!("echo $$ > '{}'; exec sleep 600", file.display())
}

fn written(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap().trim().to_owned()
}

#[test]
fn pages_and_images_are_behind_one_address_and_end_together() {
    let (_dir, mut command) = site();
    command.push("127.0.0.1:0".to_owned());
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let running = Running::start(&mut dev(&[&["--listen", "127.0.0.1:0", "--"], &command[..]].concat()));
    let (address, shown) = running.seen.split_last().unwrap();
    // Lines of its output begin with its name.
    let origin = shown.iter().find_map(|line| line.strip_prefix("[wholeplate] listening on "));
    let origin = origin.unwrap_or_else(|| panic!("{shown:?}"));
    assert_eq!(*address, format!("http://{}/ (in front of {origin})", running.address));
    assert!(running.address.starts_with("localhost:"), "{address}");
    assert_eq!(running.get("/flag.png").body, flag());
    assert_eq!(running.get("/cdn-cgi/image/width=50/flag.png").size(), (50, 25));
    let absolute = format!("/cdn-cgi/image/width=50/http://{}/flag.png", running.address);
    assert_eq!(running.get(&absolute).size(), (50, 25));
    // Ctrl-C of a terminal.
    running.signal("INT");
    let origin = origin.strip_prefix("http://").unwrap().to_owned();
    let (_, status) = running.end();
    assert!(status.success(), "{status}");
    assert!(TcpStream::connect(origin).is_err(), "the development server has ended");
}

// A picture that was changed was shown for an hour: what names no lifetime has one of an hour.
#[test]
fn a_picture_that_was_changed_is_seen_at_once() {
    let (dir, mut command) = site();
    command.push("127.0.0.1:0".to_owned());
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let running = Running::start(&mut dev(&[&["--listen", "127.0.0.1:0", "--"], &command[..]].concat()));
    let target = "/cdn-cgi/image/width=50/flag.png";
    let first = running.get(target);
    assert_eq!((first.size(), first.header("cf-cache-status")), ((50, 25), Some("MISS")));
    assert!(first.header("cache-control").unwrap().contains("no-cache"), "a browser asks again");
    std::fs::write(dir.path().join("flag.png"), crate::support::solid(100, 100, [1, 2, 3, 255])).unwrap();
    assert_eq!(running.get(target).size(), (50, 50));
}

// A page may hide it: with onerror=redirect the browser shows the original.
#[test]
fn an_image_that_cannot_be_made_is_named() {
    let (_dir, mut command) = site();
    command.push("127.0.0.1:0".to_owned());
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut started = dev(&[&["--listen", "127.0.0.1:0", "--"], &command[..]].concat());
    started.env_remove("RUST_LOG");
    let mut running = Running::with_errors(&mut started, Stdio::piped());
    let mut errors = BufReader::new(running.child.stderr.take().unwrap()).lines();
    let mut next = || errors.next().unwrap().unwrap();
    for (options, status, end) in [
        ("fit=fill", 400, "'fill'"),
        ("onerror=redirect,fit=fill", 307, ", redirected to the untransformed source (onerror=redirect)"),
        ("fit=%0aa", 400, "'?a'"),
    ] {
        let target = format!("/cdn-cgi/image/width=9,{options}/flag.png");
        assert_eq!(running.get("/cdn-cgi/image/width=9/flag.png").status, 200);
        assert_eq!(running.get(&target).status, status);
        let line = next();
        let text = format!("{target}: ERROR 9401: Missing or invalid resizing parameters: ");
        assert!(line.contains(&text) && line.contains(end), "{line}");
    }
}

#[test]
fn a_page_that_listens_for_events_does_not_hold_the_end_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n");
            held.push(stream);
        }
        drop(held);
    });
    let running = Running::start(&mut dev(&["--listen", "127.0.0.1:0", "--origin", &origin]));
    let port = running.address.rsplit_once(':').unwrap().1.to_owned();
    let mut page = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    page.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut head = [0; 15];
    page.read_exact(&mut head).unwrap();
    running.signal("INT");
    let (_, status) = running.end();
    assert!(status.success(), "{status}");
}

#[test]
fn a_server_that_starts_later_is_waited_for() {
    let (_dir, mut command) = site();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    command.push(free.to_string());
    let mut waiting = dev(&["--listen", "127.0.0.1:0", "--origin", &format!("http://{free}")]);
    let mut waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(waiting.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said.trim_end(), format!("wholeplate: waiting for http://{free}"));
    let mut server = Command::new(&command[0]).args(&command[1..]).stdout(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(waiting.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    for child in [&mut waiting, &mut server] {
        let _ = child.kill();
        let _ = child.wait();
    }
    assert!(line.ends_with(&format!("(in front of http://{free})\n")), "{line}");
}

#[test]
fn a_port_in_use_is_said_before_anything_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("started");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (said, _) = failed(&["--listen", &taken, "--", "touch", file.to_str().unwrap()]);
    assert!(
        said.contains(&taken) && said.contains("in use") && said.contains("--listen 127.0.0.1:PORT"),
        "{said}"
    );
    assert!(!file.exists());
    // Otherwise a server that already listens there would be taken for the command's.
    let (said, _) = failed(&[
        "--origin",
        &format!("http://{taken}"),
        "--listen",
        "127.0.0.1:0",
        "--",
        "touch",
        file.to_str().unwrap(),
    ]);
    assert!(said.contains("something listens there already"), "{said}");
    assert!(!file.exists());
}

#[test]
fn a_command_that_ends_early_is_named_with_its_status() {
    let (said, done) = failed(&["--listen", "127.0.0.1:0", "--", "sh", "-c", "echo no such project; exit 3"]);
    assert!(said.contains("the command ended before a server listened: exit status: 3"), "{said}");
    assert_eq!(String::from_utf8_lossy(&done.stdout), "[sh] no such project\n");
    let (said, _) = failed(&["--listen", "127.0.0.1:0", "--", "no-such-command"]);
    assert!(said.contains("no-such-command: there is no such command"), "{said}");
}

// npx asks before it installs, and fails where nobody can answer.
#[test]
fn npx_installs_without_a_question() {
    for (set, seen) in [(None, "true"), (Some(""), "true"), (Some("false"), "false")] {
        let mut command = dev(&["--listen", "127.0.0.1:0", "--", "sh", "-c", "echo yes=$npm_config_yes"]);
        command.env_remove("npm_config_yes").envs(set.map(|value| ("npm_config_yes", value)));
        let done = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&done.stdout), format!("[sh] yes={seen}\n"));
    }
}

#[test]
fn a_command_that_never_listens_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let (said, _) = failed(&["--wait", "1", "--listen", "127.0.0.1:0", "--", "sh", "-c", &sleeper(&file)]);
    assert!(said.contains("named no address") && said.contains("--origin http://localhost:PORT"), "{said}");
    assert!(!lives(&written(&file)));
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let done = dev(&["--wait", "1", "--listen", "127.0.0.1:0", "--origin", &format!("http://{free}")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.contains(&format!("nothing listens at http://{free} after 1 s")), "{said}");
}

#[test]
fn what_the_command_started_is_ended_too() {
    let dir = tempfile::tempdir().unwrap();
    let (_site, mut server) = site();
    server.push("127.0.0.1:0".to_owned());
    let file = dir.path().join("pid");
    // Like npm: a shell that starts a server and waits for it. The sleeping process ignores the end of its parent.
    let script = format!("sh -c \"{}\" & '{}'; wait", sleeper(&file).replace('$', "\\$"), server.join("' '"));
    let running = Running::start(&mut dev(&["--listen", "127.0.0.1:0", "--", "sh", "-c", &script]));
    let pid = written(&file);
    assert!(lives(&pid));
    running.signal("TERM");
    let (_, status) = running.end();
    assert!(status.success(), "{status}");
    assert!(!lives(&pid));
}

#[test]
fn a_command_that_ends_later_ends_the_service() {
    let dir = tempfile::tempdir().unwrap();
    let (_site, mut server) = site();
    server.push("127.0.0.1:0".to_owned());
    let file = dir.path().join("pid");
    let script = format!("'{}' & echo $! > '{}'; wait; exit 7", server.join("' '"), file.display());
    let running = Running::start(&mut dev(&["--listen", "127.0.0.1:0", "--", "sh", "-c", &script]));
    signal(written(&file).parse().unwrap(), "KILL");
    let (_, status) = running.end();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let (said, _) = failed(&[]);
    assert!(said.contains("after --") && said.contains("--origin http://localhost:PORT"), "{said}");
    let done = dev(&["npx", "vite"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("wholeplate dev [OPTIONS] -- npx"), "{said}");
    let (said, _) = failed(&["--origin", "localhost:3000"]);
    assert!(said.contains("localhost:3000") && said.contains("a URL with http"), "{said}");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (said, _) = failed(&["--listen", &free, "--origin", &format!("http://{free}")]);
    assert!(said.contains("that is where this program listens"), "{said}");
    let (said, _) = failed(&["--memory", "1", "--", "true"]);
    assert!(said.contains("memory"), "{said}");
}

// OPS-051 does not apply: here the variable belongs to the development server.
#[test]
fn the_port_of_the_environment_is_the_commands() {
    let (_dir, mut command) = site();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    command.truncate(5);
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut started = dev(&[&["--listen", "127.0.0.1:0", "--"], &command[..]].concat());
    let running = Running::start(started.env("PORT", free.to_string()));
    let line = running.seen.last().unwrap();
    assert!(line.ends_with(&format!("(in front of http://localhost:{free})")), "{line}");
    assert_eq!(running.get("/flag.png").body, flag());
}
