//! Purging over HTTP, in the vendor's shape, and the command that does it.

mod client;
mod endpoint;
mod token;

pub(crate) use self::client::{PurgeArgs, run};
pub(crate) use self::endpoint::{answer, is_purge};
pub(crate) use self::token::AdminToken;
