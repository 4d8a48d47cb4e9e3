//! Where source images come from: a directory or HTTP origins; and which of them are allowed.

mod address;
mod directory;
mod fetcher;
mod fonts;
mod forward;
mod http;
mod origin;
mod pattern;
mod request;
mod reserve;
mod resolve;

pub(crate) use self::fetcher::Fetcher;
pub(crate) use self::http::shared_headers;
pub(crate) use self::origin::Origin;
pub(crate) use self::pattern::Pattern;
pub(crate) use self::request::SourceRequest;
