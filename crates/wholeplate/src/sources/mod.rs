//! Where source images come from: a directory, a bucket or HTTP origins; and which of them are allowed.

mod address;
mod bucket;
mod client;
mod coding;
mod deadlines;
mod directory;
mod failure;
mod fetcher;
mod file;
mod fonts;
mod forward;
mod http;
mod origin;
mod pattern;
mod policy;
mod receive;
mod request;
mod resolve;

pub(crate) use self::failure::{FetchError, status_error};
pub(crate) use self::fetcher::{Fetcher, Location};
pub(crate) use self::fonts::FetchedFont;
pub(crate) use self::http::{Fetched, shared_headers};
pub(crate) use self::origin::Origin;
pub(crate) use self::pattern::Pattern;
pub(crate) use self::request::SourceRequest;

/// Folders with the tokens of buckets, which are read again when they expire.
pub(crate) fn bucket_token_folders() -> Vec<std::path::PathBuf> {
    bucket::Bucket::token_folders()
}
