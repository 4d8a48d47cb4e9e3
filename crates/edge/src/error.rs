//! Why a request could not be passed on.

use std::fmt;

/// Why a request could not be passed on. No response has begun.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The request came through here too often (`CDN-Loop`).
    Loop,
    /// All places for passed-on requests are in use.
    Busy,
    /// The origin cannot be reached, or closed the connection without a response.
    Unreachable(String),
    /// The origin sent no response head in time.
    TimedOut,
    /// The body of the response has a transfer coding other than `chunked`.
    Coding,
    /// The body of the request could not be read to its end.
    Upload(String),
    /// `CONNECT`.
    Connect,
    /// The target of the request cannot be one of the origin.
    Target(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loop => f.write_str("the request loops: CDN-Loop names this service more than 4 times"),
            Self::Busy => f.write_str("all places for passed-on requests are in use"),
            Self::Unreachable(why) => write!(f, "the origin cannot be reached: {why}"),
            Self::TimedOut => f.write_str("the origin sent no response in time"),
            Self::Coding => f.write_str("the response has a transfer coding other than chunked"),
            Self::Upload(why) => f.write_str(why),
            Self::Connect => f.write_str("CONNECT is not passed on"),
            Self::Target(why) => write!(f, "the request cannot be passed on: {why}"),
        }
    }
}

impl std::error::Error for Error {}
