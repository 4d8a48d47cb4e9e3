//! The origin of edge mode, from the settings.

use std::sync::Arc;

use edge::Edge;
use tokio::sync::Semaphore;

use crate::admission::MemoryPool;
use crate::config::{Config, UPLOAD_LINGER_TIME};
use crate::sources::Origin;

/// Connections to the origin of edge mode, if the configuration passes requests on. `places` is shared by all requests that are passed on;
/// `memory` is for heads of responses.
///
/// # Errors
/// A message that names the setting that cannot be used.
pub(crate) fn open(
    config: &Config,
    places: &Arc<Semaphore>,
    memory: &MemoryPool,
) -> Result<Option<Edge>, String> {
    let Some(Origin::Http(url)) = config.origin.as_ref().filter(|_| config.pass_through) else {
        return Ok(None);
    };
    let mut options = edge::Options::default();
    options.origin_host = config.origin_host.as_ref().map(|host| host.0.clone());
    options.places = Arc::clone(places);
    options.connect_timeout = config.connect_timeout.duration();
    options.head_timeout = config.origin_timeout.duration();
    options.heads = memory.for_heads();
    options.upload_timeout = UPLOAD_LINGER_TIME;
    options.private.extend(config.cf_blob_header.clone());
    Edge::new(url.as_str(), options).map(Some).map_err(|problem| format!("origin: {problem}"))
}
