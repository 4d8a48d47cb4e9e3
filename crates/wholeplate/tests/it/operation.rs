//! Admission, health and shutdown.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};

use codecs::Format;

use crate::support::{BOUNDARY, Form, Reply, Server, photo};

fn health(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wholeplate")).arg("health").args(arguments).output().unwrap()
}

// OPS-010, OPS-011, OPS-012
#[test]
fn health_is_reported_to_balancers_and_to_containers() {
    let server = Server::start_bare(&["--admin", "127.0.0.1:0"]);
    for path in ["/livez", "/healthz", "/readyz", "/metrics"] {
        assert_eq!(server.ask_admin(path).status, 200, "{path}");
    }
    assert_eq!(server.ask_admin("/readyz").text(), "{\"ready\":true}");
    assert_eq!(server.ask_admin("/nosuch").status, 404);
    let address = server.admin().to_owned();
    assert!(health(&["--admin", &address]).status.success());
    assert!(health(&["--admin", &address, "--ready"]).status.success());
    // As `wholeplate purge` takes it.
    assert!(health(&["--admin", &format!("http://{address}/")]).status.success());
    drop(server);
    let done = health(&["--admin", &address]);
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).contains(&address));
    assert_eq!(health(&["--admin", "nonsense"]).status.code(), Some(1));
}

/// What a service prints first, started with this variable and these flags.
fn listens_on(port: &str, flags: &[&str]) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wholeplate"))
        .arg("serve")
        .args(flags)
        .env("PORT", port)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    line
}

// OPS-010: the admin server answers while every other thread is busy. Here they wait for a log that nobody reads.
#[test]
fn a_service_without_a_free_thread_is_alive() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wholeplate"))
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("RUST_LOG", "wholeplate=debug")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let addresses: Vec<String> =
        lines.take(2).map(|line| line.unwrap().rsplit_once('/').unwrap().1.to_owned()).collect();
    let ask = |address: &str, path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
        stream
    };
    // Each is a line of the log. A pipe, of 4 kB to 64 kB, has room for a few of them, and so many threads are not there.
    let long = format!("/{}", "a".repeat(8 << 10));
    let _waiting: Vec<TcpStream> = (0..600).map(|_| ask(&addresses[0], &long)).collect();
    let log = child.stderr.take().unwrap();
    while rustix::io::ioctl_fionread(&log).unwrap() < 4 << 10 {
        std::thread::yield_now();
    }
    for _ in 0..50 {
        assert_eq!(status(&mut ask(&addresses[1], "/livez")), Some(200));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

// OPS-051
#[test]
fn platforms_choose_the_port() {
    // Port 0 takes a free one.
    assert!(listens_on("0", &[]).starts_with("listening on http://0.0.0.0:"));
    assert!(listens_on("1", &["--listen", "127.0.0.1:0"]).starts_with("listening on http://127.0.0.1:"));
    let settings =
        Command::new(env!("CARGO_BIN_EXE_wholeplate")).arg("config").env_remove("PORT").output().unwrap();
    assert!(String::from_utf8_lossy(&settings.stdout).contains("127.0.0.1:8565"));
}

// OPS-014
#[test]
fn a_service_that_stops_serves_until_balancers_have_noticed() {
    let mut server = Server::start(
        &[("a.jpg", photo(64, 48, Format::Jpeg))],
        &["--admin", "127.0.0.1:0", "--drain-delay", "600"],
    );
    server.terminate();
    let not_ready = loop {
        let reply = server.ask_admin("/readyz");
        if reply.status != 200 {
            break reply;
        }
        std::thread::yield_now();
    };
    assert_eq!((not_ready.status, not_ready.text().contains("stopping")), (503, true));
    let done = health(&["--admin", server.admin(), "--ready"]);
    assert!(!done.status.success() && String::from_utf8_lossy(&done.stderr).contains("stopping"));
    assert!(health(&["--admin", server.admin()]).status.success());
    // Requests are still served, and a second signal ends the delay.
    assert_eq!(server.image("width=9", "a.jpg").status, 200);
    server.terminate();
    assert!(server.wait().success());
}

// OPS-054
#[test]
fn the_description_of_the_admin_server_is_what_it_serves() {
    let server = Server::start_bare(&["--admin", "127.0.0.1:0"]);
    let document: serde_json::Value =
        serde_json::from_slice(&server.ask_admin("/openapi.json").body).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 6);
    for (path, operations) in paths {
        // `cache_purge.rs` tests the purge API.
        let Some(get) = operations.get("get") else { continue };
        let reply = server.ask_admin(path);
        let responses = get["responses"].as_object().unwrap();
        let content = responses[&reply.status.to_string()]["content"].as_object().unwrap();
        let kind = reply.header("content-type").unwrap().split(';').next().unwrap();
        assert!(content.contains_key(kind), "{path}: {kind}");
    }
}

// OPS-001, OPS-002: with the maximum of concurrent requests all are served, because they are cheap.
#[test]
fn a_burst_of_cheap_requests_is_served() {
    let server = Server::start(
        &[("a.jpg", photo(640, 480, Format::Jpeg))],
        &["--workers", "2", "--queue-timeout", "60"],
    );
    let mut streams: Vec<TcpStream> =
        (0..600).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    for (i, stream) in streams.iter_mut().enumerate() {
        let target = format!("/cdn-cgi/image/width={}/a.jpg", 40 + i);
        write!(stream, "GET {target} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
    }
    for stream in &mut streams {
        assert_eq!(Reply::read(stream, false).status, 200);
    }
}

// OPS-001: a request with a too long expected wait is refused at once, with `Retry-After`.
#[test]
fn a_request_that_would_wait_too_long_is_refused() {
    let picture = photo(2400, 1600, Format::Png);
    let server = Server::start(&[("a.png", picture)], &["--workers", "1", "--queue-timeout", "1ms"]);
    let mut streams: Vec<TcpStream> = (0..12).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    for (i, stream) in streams.iter_mut().enumerate() {
        let target = format!("/cdn-cgi/image/width={},format=webp/a.png", 1000 + i);
        write!(stream, "GET {target} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
    }
    let replies: Vec<Reply> = streams.iter_mut().map(|stream| Reply::read(stream, false)).collect();
    let refused: Vec<&Reply> = replies.iter().filter(|r| r.status != 200).collect();
    assert!(!refused.is_empty() && refused.len() < 12, "{} of 12", refused.len());
    for reply in refused {
        assert_eq!(reply.error(), (503, 9522));
        let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
}

// OPS-061
#[test]
fn uploads_beyond_the_spool_are_refused() {
    let server = Server::start_bare(&["--spool", "1"]);
    let form = Form::new().file("image", &vec![7; 12 << 20]).closed();
    let refused = server.post("/info", &form, 1 << 20);
    assert_eq!(refused.error(), (503, 9522));
    assert!(refused.header("retry-after").is_some());
    // An upload that fits into memory needs no disk.
    let small = Form::new().file("image", &photo(64, 48, Format::Jpeg)).closed();
    assert_eq!(server.post("/info", &small, 1000).status, 200);
}

// BND-064: a complete form with announced bytes missing is an error, in every framing.
#[test]
fn a_complete_form_in_an_incomplete_request_is_an_error() {
    let server = Server::start_bare(&["--binding-on-tcp"]);
    let form = Form::new().file("image", &photo(64, 48, Format::Jpeg)).closed();
    let head = |framing: &str| {
        format!(
            "POST /info HTTP/1.1\r\nhost: js.images.cloudflare.com\r\n{framing}\r\n\
             content-type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
        )
    };
    let length = |more: usize| head(&format!("content-length: {}", form.len() + more)).into_bytes();
    let chunked = || head("transfer-encoding: chunked").into_bytes();
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let cases: [(&str, Vec<u8>, bool); 10] = [
        ("a length", [length(0), form.clone()].concat(), true),
        ("a byte more announced", [length(1), form.clone()].concat(), false),
        ("many more announced", [length(1 << 20), form.clone()].concat(), false),
        ("an epilogue", [length(4), form.clone(), b"rest".to_vec()].concat(), true),
        ("half an epilogue", [length(4), form.clone(), b"re".to_vec()].concat(), false),
        ("chunks", [chunked(), chunk(&form), b"0\r\n\r\n".to_vec()].concat(), true),
        ("no last chunk", [chunked(), chunk(&form)].concat(), false),
        ("half a last chunk", [chunked(), chunk(&form), b"0\r\n".to_vec()].concat(), false),
        ("a chunk of an epilogue, cut", [chunked(), chunk(&form), b"9\r\nabc".to_vec()].concat(), false),
        ("a bad chunk", [chunked(), chunk(&form), b"zz\r\n\r\n".to_vec()].concat(), false),
    ];
    for (name, sent, whole) in cases {
        for unix in [false, true] {
            let reply = if unix {
                let mut stream = UnixStream::connect(&server.socket).unwrap();
                stream.write_all(&sent).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                status(&mut stream)
            } else {
                let mut stream = TcpStream::connect(&server.address).unwrap();
                stream.write_all(&sent).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                status(&mut stream)
            };
            assert_eq!(reply == Some(200), whole, "{name}: {reply:?}");
        }
    }
}

/// The status of a response; `None` if the connection ends without one.
fn status(stream: &mut impl Read) -> Option<u16> {
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    String::from_utf8_lossy(&response).split(' ').nth(1).and_then(|status| status.parse().ok())
}
