//! A bucket as the origin (OPS-040), tested with moto's S3 server, if Python and moto are installed.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::support::{Server, flag};

/// A running S3 server, stopped when dropped.
struct Bucket {
    child: Child,
    address: String,
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bucket {
    /// `None` if Python or moto is not installed.
    fn start() -> Option<Self> {
        let has_moto =
            Command::new("python3").args(["-c", "import flask, moto.server"]).stderr(Stdio::null()).status();
        if !has_moto.is_ok_and(|status| status.success()) {
            return None;
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let port = free.port().to_string();
        let child = Command::new("python3")
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut bucket = Self { child, address: free.to_string() };
        while TcpStream::connect(&bucket.address).is_err() {
            assert!(bucket.child.try_wait().unwrap().is_none(), "the S3 server ended");
            std::thread::yield_now();
        }
        Some(bucket)
    }

    fn put(&self, path: &str, body: &[u8]) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "PUT {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    }
}

// OPS-040
#[test]
fn originals_come_from_a_bucket() {
    let Some(bucket) = Bucket::start() else {
        eprintln!("skipped: python3 with moto[server] is not installed");
        return;
    };
    bucket.put("/pictures", b"");
    bucket.put("/pictures/originals/a%20b.png", &flag());
    bucket.put("/pictures/secret.png", &flag());
    let endpoint = format!("http://{}", bucket.address);
    let environment = [
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "key"),
    ];
    let s = Server::start_in(&environment, &["--origin", "s3://pictures/originals"]);
    let reply = s.image("width=50", "a%20b.png?v=1");
    assert_eq!(reply.size(), (50, 25));
    let tag = reply.header("etag").unwrap().to_owned();
    assert!(reply.header("last-modified").is_some());
    let same = s.get_with("/cdn-cgi/image/width=50/a%20b.png", &[("if-none-match", &tag)]);
    assert_eq!((same.status, same.header("etag")), (304, Some(tag.as_str())));
    for missing in ["none.png", "../secret.png", "%2e%2e/secret.png"] {
        let (status, number) = s.image("width=50", missing).error();
        assert!(matches!((status, number), (404, 9404) | (403, 9406)), "{missing}: {status} {number}");
    }
    assert_eq!(s.image("width=50", "none.png").error(), (404, 9404));
    // No path leads to other objects of the bucket.
    assert_eq!(s.get("/a%20b.png").status, 404);
    assert_eq!(s.image("onerror=redirect,width=50", "none.png").error(), (404, 9404));
}

#[test]
fn a_bucket_that_cannot_be_used_stops_the_start_and_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_wholeplate"))
        .args(["serve", "--listen", "127.0.0.1:0", "--origin", "s4://pictures"])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && told.contains("origin") && told.contains("s4://pictures"), "{told}");
}
