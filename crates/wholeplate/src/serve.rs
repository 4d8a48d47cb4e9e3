//! Listens and answers.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use crate::app::App;
use crate::config::Config;
use crate::door::{Entrance, answer};

/// Connections served at once; more wait in the listen queue.
const MAX_CONNECTIONS: usize = 4096;

#[allow(clippy::print_stdout)]
pub(crate) fn run(config: Config) -> Result<(), String> {
    // The TLS library asks for a process-wide provider; the first one wins.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    let app = App::new(config)?;
    runtime.block_on(async {
        let config = &app.config;
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut doors = tokio::task::JoinSet::new();
        if config.listen != "none" {
            let listener = TcpListener::bind(&config.listen)
                .await
                .map_err(|e| format!("--listen {}: {e}", config.listen))?;
            println!("listening on http://{}", listener.local_addr().map_err(|e| e.to_string())?);
            let (app, places) = (Arc::clone(&app), Arc::clone(&places));
            doors.spawn(async move {
                loop {
                    let Ok((stream, _)) = listener.accept().await else { continue };
                    let _ = stream.set_nodelay(true);
                    connection(Arc::clone(&app), Entrance::Tcp, stream, &places).await;
                }
            });
        }
        if let Some(path) = &config.unix {
            let _ = std::fs::remove_file(path);
            let listener = UnixListener::bind(path).map_err(|e| format!("--unix {}: {e}", path.display()))?;
            println!("listening on unix:{}", path.display());
            let (app, places) = (Arc::clone(&app), Arc::clone(&places));
            doors.spawn(async move {
                loop {
                    let Ok((stream, _)) = listener.accept().await else { continue };
                    connection(Arc::clone(&app), Entrance::Unix, stream, &places).await;
                }
            });
        }
        let _ = tokio::signal::ctrl_c().await;
        Ok(())
    })
}

async fn connection<S>(app: Arc<App>, entrance: Entrance, stream: S, places: &Arc<Semaphore>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Ok(place) = Arc::clone(places).acquire_owned().await else { return };
    tokio::spawn(async move {
        let service = service_fn(move |request| {
            let app = Arc::clone(&app);
            async move { Ok::<_, Infallible>(answer(app, entrance, request).await) }
        });
        let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        builder.http1().half_close(true).timer(TokioTimer::new());
        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        drop(place);
    });
}
