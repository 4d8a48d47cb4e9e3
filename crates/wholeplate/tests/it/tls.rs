//! The TCP listener with TLS: a real TLS client, HTTP/2 and HTTP/1.1.

use std::path::Path;
use std::process::Command;

use crate::support::{Server, photo};
use codecs::Format;

/// Files of a self-signed certificate for localhost and its key.
pub fn certificate(dir: &Path) -> (String, String) {
    let made =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    (path("cert.pem"), path("key.pem"))
}

async fn fetch(client: &reqwest::Client, url: &str) -> (http::Version, usize, usize) {
    let answer = client.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let (version, promised) = (answer.version(), answer.content_length().unwrap());
    (version, promised as usize, answer.bytes().await.unwrap().len())
}

// DLV-001 over TLS: HTTP/2 by ALPN, and HTTP/1.1 for clients that do not offer it.
#[tokio::test]
async fn responses_over_tls_are_whole_in_both_versions_of_http() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(dir.path());
    let server =
        Server::start(&[("a.jpg", photo(900, 700, Format::Jpeg))], &["--tls-cert", &cert, "--tls-key", &key]);
    let root = reqwest::Certificate::from_pem(&std::fs::read(&cert).unwrap()).unwrap();
    let client = || reqwest::Client::builder().tls_certs_only([root.clone()]);
    let url = format!("https://{}/cdn-cgi/image/width=3000,fit=contain,format=png/a.jpg", server.address);
    let (version, promised, received) = fetch(&client().build().unwrap(), &url).await;
    assert_eq!((version, promised), (http::Version::HTTP_2, received));
    assert!(received > 1_000_000, "larger than any buffer on the way: {received}");
    let (version, promised, received) = fetch(&client().http1_only().build().unwrap(), &url).await;
    assert_eq!((version, promised), (http::Version::HTTP_11, received));
}

#[test]
fn a_certificate_that_cannot_be_used_stops_the_start_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(dir.path());
    let start = |cert: &str, key: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_wholeplate"))
            .args(["serve", "--listen", "127.0.0.1:0", "--origin", ".", "--tls-cert", cert, "--tls-key", key])
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(start("/none.pem", &key).contains("tls-cert /none.pem"));
    let said = start(&cert, &cert);
    assert!(said.contains("tls-key") && said.contains("private key"), "{said}");
}
