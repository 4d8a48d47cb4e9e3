//! Listens and answers.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::error::Fault;
use crate::url_door;

/// Connections served at once; more wait in the listen queue.
const MAX_CONNECTIONS: usize = 1024;

#[allow(clippy::print_stdout)]
pub(crate) fn run(listen: &str, origin: &Path) -> Result<(), String> {
    if !origin.is_dir() {
        return Err(format!("--origin {}: not a directory", origin.display()));
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await.map_err(|e| format!("--listen {listen}: {e}"))?;
        println!("listening on http://{}", listener.local_addr().map_err(|e| e.to_string())?);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = Arc::new(Semaphore::new(cores));
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let origin: Arc<Path> = origin.into();
        loop {
            let Ok(place) = Arc::clone(&connections).acquire_owned().await else { return Ok(()) };
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(_) => continue,
                },
                _ = tokio::signal::ctrl_c() => return Ok(()),
            };
            let (origin, workers) = (Arc::clone(&origin), Arc::clone(&workers));
            tokio::spawn(async move {
                let service =
                    service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                        let (origin, workers) = (Arc::clone(&origin), Arc::clone(&workers));
                        async move {
                            let (head, _) = request.into_parts();
                            let target = head.uri.path_and_query().map_or("/", |t| t.as_str()).to_owned();
                            let _core = workers.acquire().await;
                            let done = tokio::task::spawn_blocking(move || {
                                url_door::answer(&head.method, &target, &head.headers, &origin)
                            });
                            Ok::<_, Infallible>(done.await.unwrap_or_else(|_| {
                                url_door::fault(&Fault::new(9523, 500, "internal error"))
                            }))
                        }
                    });
                let _ = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .half_close(true)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                drop(place);
            });
        }
    })
}
