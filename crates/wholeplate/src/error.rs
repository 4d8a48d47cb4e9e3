//! Every error that a client can see: one row each. `docs/errors.md` is made from this table.

use std::fmt;
use std::io;
use std::time::Duration;

use http::StatusCode;
use recipe::{OptionError, SourceError};

use crate::access::SignatureError;

/// How a text names what was fetched, if nothing else is said.
const SOURCE: &str = "the source";
/// The same for fonts.
const FONT: &str = "the font";
/// Seconds after which a client may try again.
const RETRY_AFTER: u64 = 1;

/// Declares [`ApiError`] from its rows. In a text, `{subject}` is what was fetched: "the source" or "the font". A status in
/// parentheses is a field of the row.
macro_rules! api_errors {
    (|$subject:ident| $(
        $(#[$doc:meta])*
        $variant:ident $({ $($field:ident: $type:ty),+ })? [
            number: $number:literal, status: $status:tt,
            text: $text:literal,
            means: $means:literal,
            remedy: $remedy:literal $(,)?
        ]
    )+) => {
        /// Why a request was not answered with an image.
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) enum ApiError {
            $($(#[$doc])* $variant $({ $($field: $type),+ })?),+
        }

        impl ApiError {
            /// The number in `cf-resized` and in the text.
            pub(crate) fn number(&self) -> u16 {
                match self { $(Self::$variant { .. } => $number),+ }
            }

            /// The HTTP status.
            pub(crate) fn status(&self) -> StatusCode {
                #[allow(unused_variables, reason = "few rows have a status that depends on a field")]
                let status: u16 = match self {
                    $(Self::$variant $({ $($field),+ })? => api_errors!(@status $status)),+
                };
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }

            /// The public text, with `subject` as what was fetched.
            fn text(&self, $subject: &str) -> String {
                #[allow(unused_variables, reason = "a text need not show every field")]
                match self {
                    $(Self::$variant $({ $($field),+ })? => format!($text)),+
                }
            }
        }

        /// The rows as data, for the documentation.
        #[cfg(test)]
        const ROWS: &[Row] = &[$(Row {
            number: $number,
            status: api_errors!(@shown $status),
            text: $text,
            means: $means,
            remedy: $remedy,
        }),+];
    };
    (@status $status:literal) => { $status };
    (@status ($field:ident)) => { *$field };
    (@shown $status:literal) => { Some($status) };
    (@shown ($field:ident)) => { None };
}

api_errors! { |subject|
    /// An option that cannot be used as written.
    Options { cause: OptionError } [
        number: 9401, status: 400,
        text: "Missing or invalid resizing parameters: {cause}",
        means: "An option is missing, misspelt or out of range.",
        remedy: "Correct the option that the text names.",
    ]
    /// An option that needs something that is not there.
    OptionUnavailable { cause: imaging::Error } [
        number: 9401, status: 400,
        text: "{cause}",
        means: "An option needs something that this service does not have, such as a model file.",
        remedy: "Configure what the text names, or leave the option out.",
    ]
    /// A transformation URL whose signature does not let it in.
    Signature { cause: SignatureError } [
        number: 9401, status: 403,
        text: "{cause}",
        means: "The service answers signed URLs, and this one is not signed, or was changed, or has expired.",
        remedy: "Sign the URL with `wholeplate sign`, or with a key of `sign-key-file`.",
    ]
    /// More requests than `rate-limit` allows.
    RateLimited { seconds: u32 } [
        number: 9422, status: 429,
        text: "too many requests, try again in {seconds} s",
        means: "This client asks for more transformations than `rate-limit` allows.",
        remedy: "Try again after `Retry-After`, or raise `rate-limit`.",
    ]
    OriginNotAllowed [
        number: 9401, status: 403,
        text: "Transformation origin is not in allowed origins list",
        means: "The source is on a host that may not be fetched.",
        remedy: "Add the host to `allow-origin`, or use a path on the configured origin.",
    ]
    PrivateSource [
        number: 9401, status: 403,
        text: "{subject} is not on a public address, and private ones are not allowed",
        means: "The host of the source leads to a loopback, private or reserved address.",
        remedy: "Name the host as `origin`, or set `allow-private-network` where every client is trusted.",
    ]
    SourceTooLarge { limit: u64 } [
        number: 9402, status: 413,
        text: "{subject} is larger than {limit} bytes",
        means: "The source file is above the limit.",
        remedy: "Use a smaller file, or raise `max-source`.",
    ]
    SourceUnreadable { kind: io::ErrorKind } [
        number: 9402, status: 502,
        text: "{subject} could not be read: {kind}",
        means: "A file of the origin directory could not be read.",
        remedy: "Check the permissions of the file and the health of its disk.",
    ]
    SourceChanged [
        number: 9402, status: 502,
        text: "{subject} changed while it was read",
        means: "A file of the origin directory was written to while it was read.",
        remedy: "Try again. Replace files by renaming, not by writing into them.",
    ]
    SourceFetch { cause: String } [
        number: 9402, status: 502,
        text: "{subject} could not be fetched: {cause}",
        means: "The origin's response was not valid HTTP, or the connection failed before it was complete.",
        remedy: "Look for the cause in the origin's log.",
    ]
    SourceCut { cause: String } [
        number: 9402, status: 502,
        text: "{subject} broke off: {cause}",
        means: "The connection ended before the whole source had arrived, twice.",
        remedy: "Look for timeouts, restarts and proxies between this service and the origin.",
    ]
    SourceShort { received: u64, announced: u64 } [
        number: 9402, status: 502,
        text: "{subject} sent {received} of {announced} bytes",
        means: "The origin sent fewer bytes than its `Content-Length`, twice.",
        remedy: "Look for timeouts, restarts and proxies between this service and the origin.",
    ]
    SourceDigest [
        number: 9402, status: 502,
        text: "{subject}'s bytes do not match its Repr-Digest",
        means: "The bytes that arrived are not those that the origin announced.",
        remedy: "Look for a proxy that changes responses, or correct the origin's `Repr-Digest`.",
    ]
    SourcePartial [
        number: 9402, status: 502,
        text: "{subject} sent a part of the image",
        means: "The origin answered 206 to a request for the whole image.",
        remedy: "Look for a proxy or cache that answers with ranges nobody asked for.",
    ]
    SourceCodingDamaged { coding: &'static str } [
        number: 9402, status: 502,
        text: "{subject}'s {coding} coding is damaged or cut",
        means: "The body does not decode by its `Content-Encoding`.",
        remedy: "Look for a proxy that compresses responses, or serve images uncompressed.",
    ]
    ResponseTransferCoding [
        number: 9402, status: 502,
        text: "the origin's response has a transfer coding other than chunked",
        means: "The origin answered a request that was passed on with a `Transfer-Encoding` that nobody asked for.",
        remedy: "Let the origin compress with `Content-Encoding`.",
    ]
    TransformationLoop [
        number: 9403, status: 508,
        text: "the request comes from an image transformation already",
        means: "The origin of a source leads back to an image transformation.",
        remedy: "Let the origin answer requests whose `Via` holds `image-resizing` with the original.",
    ]
    SourceIsTransformation [
        number: 9403, status: 508,
        text: "the source is itself a transformation URL",
        means: "The source of the URL is a transformation URL.",
        remedy: "Put the URL of the original there, and all options into one list.",
    ]
    PassedTooOften [
        number: 9403, status: 508,
        text: "the request passed through this service too often",
        means: "A Worker or an origin sends requests back to this service: `CDN-Loop` names it more than four times.",
        remedy: "Let the Worker fetch another host, or the origin answer itself.",
    ]
    SourceNotFound [
        number: 9404, status: 404,
        text: "{subject} image was not found",
        means: "The origin has no such file, or answered 404.",
        remedy: "Check the path of the source. Letter case counts.",
    ]
    NoOrigin [
        number: 9404, status: 404,
        text: "no origin is configured for relative sources; start with --origin DIR_OR_URL",
        means: "The source is a path, and the service does not know where paths lead.",
        remedy: "Set `origin`, or use an absolute source whose host is in `allow-origin`.",
    ]
    SourceUrl { cause: SourceError } [
        number: 9406, status: 403,
        text: "{cause}",
        means: "The source part of the URL is missing, has another scheme than http and https, or holds characters \
                that must be escaped.",
        remedy: "Escape the source as the text says.",
    ]
    SourceUrlInvalid [
        number: 9406, status: 403,
        text: "{subject} URL is invalid",
        means: "The URL is not one that can be fetched.",
        remedy: "Correct the URL.",
    ]
    SourceUrlCredentials [
        number: 9406, status: 403,
        text: "{subject} URL has credentials",
        means: "The URL has a user name or a password in front of its host.",
        remedy: "Send credentials in headers, with `origin-auth`.",
    ]
    SourceOutsideOrigin [
        number: 9406, status: 403,
        text: "{subject} URL leaves the origin",
        means: "The path of the source climbs out of the configured origin.",
        remedy: "Use a path below the origin.",
    ]
    TargetUrl { cause: String } [
        number: 9406, status: 403,
        text: "the source URL is invalid: {cause}",
        means: "A Worker's fetch has no usable host or scheme.",
        remedy: "Check the `forwardedProtoHeader` of the runtime and `forwarded-proto-header` of this service.",
    ]
    HostUnknown [
        number: 9407, status: 523,
        text: "{subject}'s host name does not resolve",
        means: "The name server does not know the host.",
        remedy: "Check the host name, and the name server that this machine uses.",
    ]
    SourceRefused { answered: u16 } [
        number: 9408, status: (answered),
        text: "{subject} answered {answered}",
        means: "The origin answered with this status of its own.",
        remedy: "Make the same request to the origin by hand. It may need credentials (`origin-auth`).",
    ]
    FontFile { cause: imaging::Error } [
        number: 9410, status: 502,
        text: "{cause}",
        means: "The font file is damaged, or is not a font.",
        remedy: "Use a whole TrueType, OpenType, WOFF or WOFF2 file.",
    ]
    FontUrl { given: String } [
        number: 9410, status: 502,
        text: "the font could not be fetched: '{given}' is not an absolute http or https URL",
        means: "`font.url` is not an absolute URL.",
        remedy: "Give the font's full URL.",
    ]
    FontMissing [
        number: 9410, status: 502,
        text: "the font could not be fetched: there is no such font",
        means: "The font's origin answered 404.",
        remedy: "Check the font's URL.",
    ]
    FontPrivate [
        number: 9410, status: 502,
        text: "the font could not be fetched: the font is not on a public address; --allow-private-network allows that",
        means: "The host of the font leads to a loopback, private or reserved address.",
        remedy: "Serve the font from the configured origin, or set `allow-private-network`.",
    ]
    FontFetch { cause: String } [
        number: 9410, status: 502,
        text: "the font could not be fetched: {cause}",
        means: "The font's origin did not deliver it.",
        remedy: "See the same text for sources in this list.",
    ]
    UnsupportedImage { cause: imaging::Error } [
        number: 9412, status: 415,
        text: "{cause}",
        means: "The file is not an image, is of a format that is not accepted, or cannot become the output format.",
        remedy: "Check that the source is an image and not an error page; `extra-inputs` accepts more formats.",
    ]
    SourceCoding { coding: String } [
        number: 9412, status: 415,
        text: "{subject} has the content coding '{coding}', which is not supported",
        means: "The origin compresses its response in a way that cannot be undone.",
        remedy: "Serve images uncompressed, or with gzip, deflate or br.",
    ]
    ImageTooLarge { cause: imaging::Error } [
        number: 9413, status: 403,
        text: "{cause}",
        means: "The image or the result has too many pixels or frames, or no pixel at all.",
        remedy: "Ask for a smaller result, or use a smaller source.",
    ]
    InputTooLarge { limit: u64 } [
        number: 9413, status: 413,
        text: "an input is larger than {limit} bytes",
        means: "An image that was sent to the binding is above the limit.",
        remedy: "Send a smaller file, or raise `max-input`.",
    ]
    RedirectInvalid [
        number: 9420, status: 400,
        text: "{subject} redirected to an invalid URL",
        means: "The origin answered with a redirect whose `Location` is missing or is not an http or https URL.",
        remedy: "Correct the redirect at the origin.",
    ]
    RedirectLimit [
        number: 9421, status: 400,
        text: "{subject} redirected too many times",
        means: "The origin answered with one redirect after another.",
        remedy: "Use the final URL, or raise `max-redirects`.",
    ]
    Authority { cause: String } [
        number: 9424, status: 400,
        text: "invalid request: {cause}",
        means: "The request names no host, or more than one.",
        remedy: "Send one `Host` field, equal to the host of an absolute request target.",
    ]
    MethodNotAllowed [
        number: 9424, status: 405,
        text: "only GET and HEAD are possible here",
        means: "A transformation URL was requested with another method.",
        remedy: "Use GET or HEAD.",
    ]
    TunnelRefused [
        number: 9424, status: 501,
        text: "tunnels are not passed on",
        means: "A Worker's request used CONNECT.",
        remedy: "Let the Worker connect without this service.",
    ]
    TransferCoding [
        number: 9424, status: 501,
        text: "the request has a transfer coding other than chunked",
        means: "The `Transfer-Encoding` of the request has a coding that is not supported.",
        remedy: "Send the body as it is, with its length or `Transfer-Encoding: chunked`.",
    ]
    UploadFailed { cause: String } [
        number: 9424, status: 408,
        text: "the request cannot be passed on: {cause}",
        means: "The body of a request that was passed on stopped arriving.",
        remedy: "Try again; look at the network of the client.",
    ]
    BadRequest { cause: String } [
        number: 9432, status: 400,
        text: "Bad request: {cause}",
        means: "A request of the binding cannot be read.",
        remedy: "Use the Workers binding or a client that sends the same multipart form.",
    ]
    BindingPathUnknown { path: String } [
        number: 9432, status: 404,
        text: "Bad request: {path} is neither a call of the binding nor a file",
        means: "The Unix socket has no such path.",
        remedy: "Send `POST /info` or `POST /transform`.",
    ]
    BindingMethod [
        number: 9432, status: 405,
        text: "Bad request: only POST is possible here",
        means: "A call of the binding was made with another method.",
        remedy: "Use POST.",
    ]
    BindingTimeout [
        number: 9432, status: 408,
        text: "Bad request: the request did not arrive in time",
        means: "The body of a call of the binding stopped arriving.",
        remedy: "Try again; look for a Worker that feeds its stream slowly.",
    ]
    SourceTimeout [
        number: 9504, status: 522,
        text: "{subject} did not answer in time",
        means: "The origin accepted no connection or sent no response head within `connect-timeout`.",
        remedy: "Check the load of the origin.",
    ]
    OriginTimeout [
        number: 9504, status: 504,
        text: "the origin did not answer in time",
        means: "The origin sent no response to a request that was passed on within `origin-timeout`.",
        remedy: "Check the load of the origin, or raise `origin-timeout`.",
    ]
    SourceStalled [
        number: 9504, status: 524,
        text: "the download of {subject} stalled",
        means: "The origin stopped sending in the middle of the source.",
        remedy: "Check the load of the origin and the network to it.",
    ]
    SourceSlow [
        number: 9504, status: 524,
        text: "the download of {subject} took too long",
        means: "The body took longer than `fetch-timeout` and what `min-rate` adds to it.",
        remedy: "Check the network to the origin, or raise `fetch-timeout`.",
    ]
    ConnectionRefused [
        number: 9505, status: 502,
        text: "{subject} refused the connection",
        means: "Nothing listens on the host and port of the source.",
        remedy: "Start the origin, or correct the port.",
    ]
    SourceFailed { answered: u16 } [
        number: 9509, status: 502,
        text: "{subject} answered {answered}",
        means: "The origin answered with a status that is neither success nor a client error.",
        remedy: "Look for the cause in the origin's log.",
    ]
    SourceUnreachable { cause: String } [
        number: 9510, status: 523,
        text: "{subject} cannot be reached: {cause}",
        means: "No connection to the origin could be made, or its TLS certificate is not valid.",
        remedy: "Check the network, the firewall and the certificate that the text names.",
    ]
    OriginUnreachable { cause: String } [
        number: 9510, status: 502,
        text: "the origin cannot be reached: {cause}",
        means: "A request that was passed on found no server at `origin`, or the server closed the connection without a \
                response.",
        remedy: "Start the server, or correct `origin`.",
    ]
    DamagedImage { cause: imaging::Error } [
        number: 9516, status: 422,
        text: "{cause}",
        means: "The image is cut or damaged.",
        remedy: "Replace the source by a whole file.",
    ]
    EncodingFailed { cause: imaging::Error } [
        number: 9516, status: 500,
        text: "{cause}",
        means: "The result could not be encoded.",
        remedy: "Report it with the source and the options.",
    ]
    SourceBadRequest [
        number: 9519, status: 502,
        text: "{subject} answered 400",
        means: "The origin did not understand the request.",
        remedy: "Check the query and the escapes of the source.",
    ]
    Busy { expected: Duration } [
        number: 9522, status: 503,
        text: "too busy, try again",
        means: "More images wait than the service can make in time.",
        remedy: "Try again after `Retry-After`. Give the service more cores or memory if it happens often.",
    ]
    SourcesBusy [
        number: 9522, status: 503,
        text: "too many sources wait, try again",
        means: "Memory and disk space for inputs are in use.",
        remedy: "Try again after `Retry-After`. Raise `memory` or `spool` if it happens often.",
    ]
    Panicked [
        number: 9523, status: 500,
        text: "internal error while processing the image",
        means: "A fault of this program, confined to this request.",
        remedy: "Report it with the source and the options.",
    ]
    Internal { cause: String } [
        number: 9523, status: 500,
        text: "internal error: {cause}",
        means: "A fault of this program or of its machine.",
        remedy: "Look into the log; report it if the machine is well.",
    ]
    RenderFailed { cause: imaging::Error } [
        number: 9523, status: 500,
        text: "{cause}",
        means: "A model failed, or the program contradicted itself.",
        remedy: "Check the model file if the text names one; else report it with the source and the options.",
    ]
    SpoolRead { kind: io::ErrorKind } [
        number: 9523, status: 500,
        text: "an input could not be read back: {kind}",
        means: "The temporary file of an input could not be read.",
        remedy: "Check the folder for temporary files.",
    ]
    SpoolWrite { kind: io::ErrorKind } [
        number: 9523, status: 500,
        text: "an input could not be spooled: {kind}",
        means: "The temporary file of an input could not be written.",
        remedy: "Check that the folder for temporary files can be written to and has room.",
    ]
    NeedsMemory { needs: usize, has: usize } [
        number: 9527, status: 503,
        text: "the image needs {needs} MiB of memory, and the configured memory has {has} for pixels",
        means: "The image can never be made with the present setting.",
        remedy: "Raise `memory`, or ask for a smaller result.",
    ]
    SourceNeedsMemory { needs: usize, has: usize } [
        number: 9527, status: 503,
        text: "{subject} takes {needs} MiB, and the configured memory has {has} for sources",
        means: "The file can never be held with the present setting.",
        remedy: "Raise `memory`, or use a smaller file.",
    ]
    OverBudget { cause: work::Error } [
        number: 9527, status: 503,
        text: "{cause}",
        means: "The image took more memory than was expected of it.",
        remedy: "Use a smaller source; report it if the source is an ordinary file.",
    ]
    Cancelled { cause: work::Error } [
        number: 9528, status: 502,
        text: "{cause}",
        means: "The client left, or the service gave the request up.",
        remedy: "None is needed if the client left.",
    ]
    ComputeTimeout { cause: work::Error } [
        number: 9529, status: 504,
        text: "{cause}",
        means: "The image took longer than `compute-timeout`.",
        remedy: "Ask for less work, or raise `compute-timeout`.",
    ]
}

impl ApiError {
    /// A request of the binding that cannot be read.
    pub(crate) fn bad_request(cause: impl fmt::Display) -> Self {
        Self::BadRequest { cause: cause.to_string() }
    }

    /// A fault of ours. Clients see the text; it must not hold secrets.
    pub(crate) fn internal(cause: impl fmt::Display) -> Self {
        Self::Internal { cause: cause.to_string() }
    }

    /// Why a font could not be fetched: one number, whatever the cause.
    pub(crate) fn font(cause: &Self) -> Self {
        match cause {
            Self::SourceNotFound | Self::NoOrigin => Self::FontMissing,
            // The operator's own Workers name fonts, so the setting may be named.
            Self::PrivateSource => Self::FontPrivate,
            other => Self::FontFetch { cause: other.text(FONT) },
        }
    }

    /// `ERROR <number>: <text>`, the body of every error.
    pub(crate) fn body(&self) -> String {
        format!("ERROR {}: {self}", self.number())
    }

    /// Whether the fault is ours.
    pub(crate) fn is_internal(&self) -> bool {
        self.number() == Self::Panicked.number()
    }

    /// Whether `onerror=redirect` holds for it: not where the redirect would come back here, nor where a client asked for
    /// more than its rate (OPS-023).
    pub(crate) fn may_redirect(&self) -> bool {
        !matches!(self, Self::TransformationLoop | Self::SourceIsTransformation | Self::RateLimited { .. })
    }

    /// Seconds after which the same request may succeed.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        if let Self::Busy { expected } = self {
            // Rounded up (OPS-001).
            return Some(expected.as_secs() + u64::from(expected.subsec_nanos() > 0));
        }
        if let Self::RateLimited { seconds } = self {
            return Some(u64::from(*seconds));
        }
        let later = [Self::SourcesBusy.number(), Self::NeedsMemory { needs: 0, has: 0 }.number()];
        later.contains(&self.number()).then_some(RETRY_AFTER)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(SOURCE))
    }
}

impl std::error::Error for ApiError {}

impl From<OptionError> for ApiError {
    fn from(cause: OptionError) -> Self {
        match cause {
            OptionError::Source(SourceError::Loop) => Self::SourceIsTransformation,
            OptionError::Source(cause) => Self::SourceUrl { cause },
            OptionError::OutputFormat | OptionError::Steps(_) => Self::bad_request(cause),
            OptionError::FontUrl { given, .. } => Self::FontUrl { given },
            _ => Self::Options { cause },
        }
    }
}

impl From<imaging::Error> for ApiError {
    fn from(cause: imaging::Error) -> Self {
        use codecs::Error as C;
        use imaging::Error as E;
        match &cause {
            E::Work(limit) | E::Codec(C::Work(limit)) => (*limit).into(),
            E::Codec(C::NotAnImage | C::Unsupported(_)) | E::Unsupported(_) => {
                Self::UnsupportedImage { cause }
            }
            E::Codec(C::Truncated(_) | C::Malformed { .. }) => Self::DamagedImage { cause },
            E::Codec(C::TooLarge(_)) | E::TooLarge(_) | E::Empty | E::Enlarged { .. } => {
                Self::ImageTooLarge { cause }
            }
            E::Codec(C::Encode { .. }) => Self::EncodingFailed { cause },
            E::Option(_) => Self::OptionUnavailable { cause },
            E::Font(_) => Self::FontFile { cause },
            _ => Self::RenderFailed { cause },
        }
    }
}

impl From<codecs::Error> for ApiError {
    fn from(cause: codecs::Error) -> Self {
        imaging::Error::from(cause).into()
    }
}

impl From<work::Error> for ApiError {
    fn from(cause: work::Error) -> Self {
        use work::Error as E;
        match cause {
            E::MemoryBudget { .. } => Self::OverBudget { cause },
            E::Deadline => Self::ComputeTimeout { cause },
            E::Cancelled => Self::Cancelled { cause },
            _ => Self::internal(cause),
        }
    }
}

/// One row of the table as data.
#[cfg(test)]
struct Row {
    number: u16,
    /// `None`: the source's own.
    status: Option<u16>,
    text: &'static str,
    means: &'static str,
    remedy: &'static str,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write as _;
    use std::path::{Path, PathBuf};

    use super::{ApiError, ROWS, Row, SOURCE};

    /// The documentation of all rows, by number.
    fn documentation() -> String {
        let mut by_number: BTreeMap<u16, Vec<&Row>> = BTreeMap::new();
        for row in ROWS {
            by_number.entry(row.number).or_default().push(row);
        }
        let mut page = String::from(
            "# Errors\n\nAn error response has the body `ERROR <number>: <text>` and the number in `cf-resized: err=<number>` (from \
             the binding\nin `cf-images-binding`). Find the number here, then the text. `<name>` stands for a part that \
             varies.\n\nThis page is made from the table in `crates/wholeplate/src/error.rs`: change it there, then run\n\
             `UPDATE_DOCS=1 cargo nextest run -p wholeplate error::`.\n",
        );
        for (number, rows) in by_number {
            write!(
                page,
                "\n## {number}\n\n| Status | Text | What it means | What to do |\n|---|---|---|---|\n"
            )
            .unwrap();
            for row in rows {
                let status = row.status.map_or_else(|| "that of the source".to_owned(), |s| s.to_string());
                let text = row.text.replace("{subject}", SOURCE).replace('{', "<").replace('}', ">");
                writeln!(page, "| {status} | `{text}` | {} | {} |", row.means, row.remedy).unwrap();
            }
        }
        page
    }

    #[test]
    fn the_page_of_errors_is_that_of_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, documentation()).unwrap();
        }
        let page = std::fs::read_to_string(&path).unwrap();
        assert!(page == documentation(), "docs/errors.md is out of date; UPDATE_DOCS=1 writes it");
    }

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }

    /// Whether a text holds a number of the table that is no part of a longer word.
    fn names_an_error(line: &str) -> bool {
        line.split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| word.len() == 4 && word.parse().is_ok_and(|n: u16| (9400..9600).contains(&n)))
    }

    #[test]
    fn error_numbers_stand_in_the_table_only() {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        files.retain(|path| !path.ends_with("src/error.rs"));
        assert!(files.len() > 20);
        for path in files {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
            // Comments name RFCs.
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            let found: Vec<&str> = lines.filter(|line| names_an_error(line)).collect();
            assert!(found.is_empty(), "{}: {found:?}", path.display());
        }
    }

    #[test]
    fn a_font_that_cannot_be_fetched_has_one_number_and_the_cause_in_its_text() {
        let cases = [
            (ApiError::SourceNotFound, "there is no such font"),
            (ApiError::HostUnknown, "the font's host name does not resolve"),
            (ApiError::SourceTooLarge { limit: 5 }, "the font is larger than 5 bytes"),
            (
                ApiError::PrivateSource,
                "the font is not on a public address; --allow-private-network allows that",
            ),
        ];
        for (cause, why) in cases {
            let error = ApiError::font(&cause);
            assert_eq!(error.body(), format!("ERROR 9410: the font could not be fetched: {why}"));
            assert_eq!(error.status(), 502);
        }
    }

    #[test]
    fn a_client_error_of_the_source_keeps_its_status() {
        let error = ApiError::SourceRefused { answered: 403 };
        assert_eq!((error.number(), error.status().as_u16()), (9408, 403));
        assert_eq!(error.body(), "ERROR 9408: the source answered 403");
    }
}
