//! The parsed form of one list of options.

use crate::{Output, Quality, Transform};

/// One list of options, before the client's hints are applied.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RequestOptions {
    /// Has no width when `auto_width` is set.
    pub transform: Transform,
    /// `format=auto` is here as [`crate::FormatChoice::Auto`] that accepts nothing.
    pub output: Output,
    /// `width=auto`.
    pub auto_width: bool,
    /// Widths that `width=auto` chooses from; empty = the defaults.
    pub breakpoints: Vec<u32>,
    /// `width=auto` on phones that give no hint.
    pub mobile_width: Option<u32>,
    /// `width=auto` elsewhere without a hint.
    pub desktop_width: Option<u32>,
    /// Replaces the quality on slow connections.
    pub slow_quality: Option<Quality>,
    /// `onerror=redirect`; the route checks that the source is on the same zone.
    pub onerror_redirect: bool,
    /// `origin-auth: "share-publicly"`.
    pub origin_auth: bool,
}
