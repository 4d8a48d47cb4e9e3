//! Passes requests on to one origin, and its responses back: streamed both ways, with trailers, upgrades and
//! server-sent events. Used where Wholeplate is the front of a whole site.
//!
//! The origin is spoken to in HTTP/1.1, whatever the client speaks. Fields that concern one connection are removed, the
//! client is named in `Forwarded` and `X-Forwarded-*`, and `CDN-Loop` (RFC 8586) stops loops. A response that ends before
//! its length is an error of its body, so that `delivery` reports the cut to the client.

mod body;
mod connection;
mod error;
mod fields;
mod forward;
mod head;
mod idle;
mod place;
mod tunnel;
mod upload;

pub use body::Body;
pub use error::Error;
pub use fields::{Front, has_unknown_transfer_coding, is_loop, mark_passed_on, remove_hop_by_hop};
pub use forward::{Edge, Options};
pub use head::{HeadBudget, HeadMemory, MAX_HEAD, Metering, NoHeadMemory, TakenMemory, client_builder};
pub use idle::IdleTimeout;

/// The cause of an error.
type BoxError = Box<dyn std::error::Error + Send + Sync>;
