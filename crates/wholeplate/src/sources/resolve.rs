//! From names to addresses: to all of them, or to public ones only. The connection then goes to the very address
//! that was checked.

use std::error::Error as StdError;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};
use std::vec;

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use super::address::is_public;
use crate::respond::BoxError;

/// Resolves names.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    /// Private addresses are no answer.
    pub(super) public_only: bool,
}

#[derive(Debug)]
pub(super) struct NotPublic;

#[derive(Debug)]
pub(super) struct NoSuchHost;

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name leads to no public address")
    }
}

impl fmt::Display for NoSuchHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name does not resolve")
    }
}

impl StdError for NotPublic {}
impl StdError for NoSuchHost {}

/// Names that are this machine's whatever a name server says (RFC 6761 §6.3). Few systems' resolvers know those
/// below `localhost`.
fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

async fn look_up(name: &str) -> Result<Vec<SocketAddr>, NoSuchHost> {
    if is_localhost(name) {
        return Ok(vec![(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()]);
    }
    let found: Vec<SocketAddr> = tokio::net::lookup_host((name, 0)).await.map_err(|_| NoSuchHost)?.collect();
    if found.is_empty() { Err(NoSuchHost) } else { Ok(found) }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let public_only = self.public_only;
        Box::pin(async move {
            let mut found = look_up(name.as_str()).await?;
            if public_only {
                found.retain(|a| is_public(a.ip()));
            }
            if found.is_empty() { Err(NotPublic.into()) } else { Ok(found.into_iter()) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::is_localhost;

    #[test]
    fn localhost_and_what_is_below_it_is_this_machine() {
        for name in ["localhost", "LocalHost.", "app.localhost", "a.b.localhost"] {
            assert!(is_localhost(name), "{name}");
        }
        for name in ["notlocalhost", "localhost.example", "example"] {
            assert!(!is_localhost(name), "{name}");
        }
    }
}
