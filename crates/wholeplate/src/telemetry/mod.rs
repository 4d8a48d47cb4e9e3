//! The phases of one request, its spans, its id, and the log.

mod id;
mod logging;
mod otlp;
mod phases;
mod redact;
mod spans;

pub(crate) use self::id::request_id;
pub(crate) use self::logging::{DEVELOPMENT_LEVELS, FAILED_IMAGES, SERVER_LEVELS, start_logging};
pub(crate) use self::otlp::Exporter;
pub(crate) use self::phases::{SERVER_TIMING, Trace, wants_timing};
pub(crate) use self::redact::{redacted, redacted_target};
