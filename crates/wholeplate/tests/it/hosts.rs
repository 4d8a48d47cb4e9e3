//! The host of a request, in every version of HTTP (OPS-035).

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use codecs::Format;

use crate::support::{Server, photo, solid};
use crate::tls::certificate;

/// The status of the response to a head.
fn status(mut stream: impl Read + Write, head: &str) -> u16 {
    stream.write_all(head.as_bytes()).unwrap();
    let mut reply = String::new();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    reply.push_str(&String::from_utf8_lossy(&bytes));
    reply.split(' ').nth(1).unwrap_or_else(|| panic!("{head}: {reply}")).parse().unwrap()
}

// OPS-035: requests without a host, or with two, were accepted.
#[test]
fn a_request_names_one_host() {
    let s = Server::start(&[("a.png", solid(9, 9, [1, 2, 3, 255]))], &[]);
    let path = "/cdn-cgi/image/width=5/a.png";
    let own = format!("host: {}", s.address);
    let absolute = format!("http://{}{path}", s.address);
    let cases: [(&str, &[&str], u16); 9] = [
        (path, &[&own], 200),
        (path, &[], 400),
        (path, &[&own, &own], 400),
        (path, &[&own, "host: other.example"], 400),
        (path, &["host: "], 400),
        (path, &["host: a/b"], 400),
        (&absolute, &[&own], 200),
        (&absolute, &["host: other.example"], 400),
        (&absolute, &[], 200),
    ];
    for (target, lines, expected) in cases {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let head = format!("GET {target} HTTP/1.1\r\nconnection: close\r\n{lines}\r\n");
        let found = status(TcpStream::connect(&s.address).unwrap(), &head);
        assert_eq!(found, expected, "TCP: {head}");
        assert_eq!(status(UnixStream::connect(&s.socket).unwrap(), &head), expected, "Unix: {head}");
    }
    // HTTP/1.0 does not require a host.
    let head = format!("GET {path} HTTP/1.0\r\n\r\n");
    assert_eq!(status(TcpStream::connect(&s.address).unwrap(), &head), 200);
}

/// A generator with a fixed seed, so that all runs send the same requests.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// One request; `{own}` is replaced by scheme and authority of the server.
struct Case {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
}

fn cases(tag: &str) -> Vec<Case> {
    let mut numbers = Numbers(7);
    let mut cases = Vec::new();
    for _ in 0..200 {
        let options = numbers.one_of(&[
            "width=40",
            "width=40,format=png",
            "onerror=redirect,width=40",
            "onerror=redirect,fit=fill",
            "onerror=redirect,format=png",
            "rotate=45",
            "format=json",
        ]);
        let source = numbers.one_of(&[
            "a.jpg",
            "none.jpg",
            "text.png",
            "{own}/a.jpg",
            "{own}/none.jpg",
            "{own}/text.png",
            "https://other.example/a.jpg",
            "{own}/cdn-cgi/image/width=9/a.jpg",
        ]);
        let mut headers = Vec::new();
        match numbers.below(5) {
            0 => headers.push(("if-none-match", tag.to_owned())),
            1 => headers.push(("if-none-match", "*".to_owned())),
            2 => headers.push(("accept", "image/avif,image/webp".to_owned())),
            3 => headers.push(("via", "1.1 x, image-resizing".to_owned())),
            _ => {}
        }
        let method = ["GET", "GET", "HEAD", "POST"][numbers.below(4)];
        let target = match numbers.below(8) {
            0 => "/a.jpg".to_owned(),
            1 => "/cdn-cgi\\image/width=9/a.jpg".replace('\\', "%5C"),
            _ => format!("/cdn-cgi/image/{options}/{source}"),
        };
        cases.push(Case { method, target, headers });
    }
    cases
}

/// The parts that must be equal: status, headers except times and ids, body.
async fn fetch(client: &reqwest::Client, own: &str, case: &Case) -> (u16, BTreeMap<String, String>, Vec<u8>) {
    let url = format!("{own}{}", case.target.replace("{own}", own));
    let mut request = client.request(case.method.parse().unwrap(), &url);
    for (name, value) in &case.headers {
        request = request.header(*name, value);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let varying = ["date", "x-request-id", "connection", "keep-alive"];
    let mut headers = BTreeMap::new();
    for (name, value) in response.headers() {
        let value = value.to_str().unwrap().replace(own, "{own}");
        let timed = name == "cf-resized" && !value.starts_with("err=");
        // HTTP/1.1 declares the length of an empty body; HTTP/2 need not.
        let timed = timed || (name == "content-length" && status != 200);
        if !varying.contains(&name.as_str()) && !timed {
            headers.insert(name.to_string(), value);
        }
    }
    (status, headers, response.bytes().await.unwrap().to_vec())
}

// OPS-035: absolute sources on the own host, and redirects to them, failed over HTTP/2.
#[tokio::test]
async fn all_versions_of_http_get_the_same_response() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(dir.path());
    let pictures = [("a.jpg", photo(120, 90, Format::Jpeg)), ("text.png", b"no image".to_vec())];
    // No cache, because hits have other headers.
    let plain = Server::start(&pictures, &["--serve-originals", "--no-cache"]);
    // The same folder, so that entity tags are equal.
    let origin = plain.pictures.path().to_str().unwrap().to_owned();
    let tls_flags =
        ["--origin", &origin, "--serve-originals", "--no-cache", "--tls-cert", &cert, "--tls-key", &key];
    let secure = Server::start_bare(&tls_flags);
    let root = reqwest::Certificate::from_pem(&std::fs::read(&cert).unwrap()).unwrap();
    let builder = || reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let h1 = builder().http1_only().build().unwrap();
    let h2c = builder().http2_prior_knowledge().build().unwrap();
    let h2 = builder().tls_certs_only([root]).build().unwrap();
    let (http, https) = (format!("http://{}", plain.address), format!("https://{}", secure.address));
    let first = h1.get(format!("{http}/cdn-cgi/image/width=40/a.jpg")).send().await.unwrap();
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    let mut by_status: BTreeMap<u16, usize> = BTreeMap::new();
    for case in cases(&tag) {
        let one = fetch(&h1, &http, &case).await;
        let two = fetch(&h2c, &http, &case).await;
        let three = fetch(&h2, &https, &case).await;
        assert!(one == two, "{} {} {:?}: {one:?} {two:?}", case.method, case.target, case.headers);
        assert!(one == three, "{} {} {:?}: {one:?} {three:?}", case.method, case.target, case.headers);
        *by_status.entry(one.0).or_default() += 1;
    }
    for status in [200, 304, 307, 400, 403, 404, 405, 508] {
        assert!(by_status.contains_key(&status), "{by_status:?}");
    }
    let response = h2.get(format!("{https}/cdn-cgi/image/width=9/a.jpg")).send().await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
}
