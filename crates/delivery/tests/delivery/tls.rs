//! TLS on a real socket, with a client that sends no close_notify.

use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use delivery::{Config, Listener, RequestBody, Server, Tls};
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::{Odd, Verdicts};

// DLV-006: the end of TCP without close_notify was a failure, and the whole response was counted as cut.
#[tokio::test]
async fn a_client_that_half_closes_without_close_notify_gets_a_whole_response() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let verdicts = Verdicts::default();
    let mut config = Config::default();
    config.tls = Some(Tls::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap());
    config.observer = Some(Arc::new(verdicts.clone()));
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.tcp_address().unwrap();
    let server = Server::start(config, vec![listener], async |_: Request<RequestBody>| -> Response<Odd> {
        Odd::whole(300_000)
    });

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A client that offers only HTTP/1.0 is served too.
    client.alpn_protocols = vec![b"http/1.0".to_vec()];
    let connector = TlsConnector::from(Arc::new(client));
    let tcp = std::net::TcpStream::connect(address).unwrap();
    tcp.set_nonblocking(true).unwrap();
    let below = tcp.try_clone().unwrap();
    let tcp = TcpStream::from_std(tcp).unwrap();
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    stream.flush().await.unwrap();
    below.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    assert!(all.len() > 300_000, "{}", all.len());
    drop((stream, below));
    server.shutdown(Duration::from_secs(5)).await;
    assert_eq!((server.stats().whole(), server.stats().cut()), (1, 0), "{:?}", verdicts.list());
}
