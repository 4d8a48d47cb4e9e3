//! Responses that are complete before the request has ended, to clients that wait for them.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::support::{BOUNDARY, Reply, Server};

/// Far above any scheduling delay, and below the deadlines of requests.
const PATIENCE: Duration = Duration::from_secs(20);
/// The time that a client waits for a response before it sends the next piece.
const PAUSE: Duration = Duration::from_millis(50);

fn head(method: &str, content_type: &str) -> String {
    format!(
        "{method} /transform HTTP/1.1\r\nhost: js.images.cloudflare.com\r\ntransfer-encoding: chunked\r\n\
         content-type: {content_type}\r\n\r\n"
    )
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn part(name: &str, text: &str) -> String {
    chunk(&format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}"))
}

// BND-064, DLV-004: the client stops sending and keeps its connection open.
#[test]
fn a_client_that_pauses_gets_its_response() {
    let server = Server::start_bare(&["--max-input", "1000"]);
    let form = format!("multipart/form-data; boundary={BOUNDARY}");
    let cases = [
        ("unknown part", head("POST", &form) + &part("zzz", "abc"), (400, 9432)),
        ("wrong content type", head("POST", "text/plain") + &chunk("abc"), (400, 9432)),
        ("wrong content type, no body yet", head("POST", "text/plain"), (400, 9432)),
        ("wrong method", head("PUT", &form) + &chunk("abc"), (405, 9432)),
        ("too large", head("POST", &form) + &part("image", &"x".repeat(2000)), (413, 9413)),
    ];
    std::thread::scope(|scope| {
        for (name, sent, expected) in cases {
            let server = &server;
            scope.spawn(move || {
                let mut stream = UnixStream::connect(&server.socket).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.write_all(sent.as_bytes()).unwrap();
                assert_eq!(Reply::read(&mut stream, false).error(), expected, "{name}");
            });
        }
    });
}

// DLV-004: an endless upload on a slow connection.
#[test]
fn an_upload_without_end_gets_a_response() {
    let server = Server::start_bare(&["--max-input", "1000", "--binding-on-tcp"]);
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let form = format!("multipart/form-data; boundary={BOUNDARY}");
    stream.write_all((head("POST", &form) + &part("image", &"x".repeat(2000))).as_bytes()).unwrap();
    // Sends a piece after each wait without a response.
    stream.set_read_timeout(Some(PAUSE)).unwrap();
    let came = (0..PATIENCE.as_millis() / PAUSE.as_millis()).any(|_| {
        stream.write_all(chunk("more").as_bytes()).unwrap();
        stream.peek(&mut [0; 1]).is_ok_and(|n| n > 0)
    });
    assert!(came, "no answer within {PATIENCE:?}");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(Reply::read(&mut stream, false).error(), (413, 9413));
}

// `stall-timeout` limits the wait for the rest of a request.
#[test]
fn a_request_that_stalls_is_given_up() {
    let server = Server::start_bare(&["--stall-timeout", "1"]);
    let form = format!("multipart/form-data; boundary={BOUNDARY}");
    let mut stream = UnixStream::connect(&server.socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all((head("POST", &form) + &part("image", "abc")).as_bytes()).unwrap();
    assert_eq!(Reply::read(&mut stream, false).error(), (408, 9432));
}
