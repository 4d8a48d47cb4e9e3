//! The declaration of every setting. A row makes the field of [`Config`], the flag, the variable, the key of the file,
//! the help text and the row of docs/settings.md.

use std::path::PathBuf;

use http::HeaderName;

use super::declare::settings;
use super::values::{Address, Bytes, HostField, Listen, LogFormat, Mebibytes, Mode, PresetTable, Rate, Time};
use crate::access::Signing;
use crate::respond::Cors;
use crate::sources::{Origin, Pattern};

/// Settings of earlier versions, and what to use instead.
pub(crate) const RETIRED: &[(&str, &str)] =
    &[("queue", "this setting is gone; set queue-timeout, the longest expected wait, instead")];

settings! {
    "Listening" {
        /// Address of the HTTP server; port 0 takes a free port, `none` listens on no TCP port. Without this setting,
        /// the environment variable PORT listens on 0.0.0.0:PORT.
        listen: Listen = "127.0.0.1:8565", "ADDR";
        /// Unix socket to listen on, with the Images binding (POST /info, POST /transform).
        unix: Option<PathBuf>, "PATH";
        /// Permission bits of the socket file, octal.
        unix_mode: Mode = "660", "MODE";
        /// Numeric owner of the socket file.
        unix_uid: Option<u32>, "UID";
        /// Numeric group of the socket file.
        unix_gid: Option<u32>, "GID";
        /// Answer the Images binding on TCP too.
        binding_on_tcp: bool = false, "BOOL";
        /// PEM file of a certificate chain; TCP connections then use TLS, with HTTP/2 and HTTP/1.1. Needs tls-key.
        tls_cert: Option<PathBuf>, "FILE";
        /// PEM file of the certificate's private key.
        tls_key: Option<PathBuf>, "FILE";
    }
    "Sources" {
        /// What relative sources resolve against: a directory (no path leaves it), an http(s) URL, or a bucket: s3://bucket/prefix,
        /// gs:// or az://, with credentials from the provider's usual variables.
        origin: Option<Origin>, "DIR_OR_URL";
        /// Serve images of the origin directory as they are, too. Hidden files and other types are never served.
        serve_originals: bool = false, "BOOL";
        /// Host whose absolute source URLs are fetched: example.com, *.example.com, example.com/path, https://example.com (no
        /// http), or *. Repeatable.
        allow_origin: Vec<Pattern>, "HOST_PATTERN";
        /// Fetch absolute sources from loopback, private and link-local addresses too.
        allow_private_network: bool = false, "BOOL";
        /// Largest source; a number without a unit counts bytes.
        max_source: Bytes = "100MB", "SIZE" in Bytes(1)..=Bytes(4_000_000_000);
        /// Redirects that are followed.
        max_redirects: usize = crate::choices::DEFAULT_REDIRECTS, "N" in 0..=20;
        /// Time to connect to a source and get its response head.
        connect_timeout: Time = "10s", "TIME" in Time::MILLISECOND..=Time::DAY;
        /// Time that the body of a source may pause.
        read_timeout: Time = "15s", "TIME" in Time::MILLISECOND..=Time::DAY;
        /// Time that the body of a source may take, to which its bytes divided by min-rate are added.
        fetch_timeout: Time = "30s", "TIME" in Time::MILLISECOND..=Time::DAY;
        /// Least bytes per second: of the body of a source, and of a client that reads a long response. A number without a
        /// unit counts bytes.
        min_rate: Bytes = "16kB", "SIZE" in Bytes(1)..=Bytes(1_000_000_000);
        /// CORS headers of responses: off, source (those of the source), or * (every page may read them).
        cors: Cors = "source", "MODE";
    }
    "Cache" {
        /// Keep sources and results for as long as their origins allow. See docs/caching.md.
        cache: bool = true, "BOOL";
        /// Memory of the cache, a part of `memory`; a number without a unit counts MiB.
        cache_memory: Mebibytes = 64, "SIZE" in Mebibytes::new(1)..=Mebibytes::new(1 << 22);
        /// Folder of the cache, so that it outlives a restart. It belongs to one process.
        cache_dir: Option<PathBuf>, "DIR";
        /// Size of the cache in its folder; a number without a unit counts MiB.
        cache_disk: Mebibytes = 4096, "SIZE" in Mebibytes::new(8)..=Mebibytes::new(1 << 30);
        /// Bucket that nodes share: s3://bucket/prefix, gs://bucket/prefix or az://container/prefix. Credentials come
        /// from the usual environment variables of the provider.
        cache_store: Option<String>, "URL";
        /// Time after which a read from the bucket counts as a miss.
        cache_store_timeout: Time = "500ms", "TIME" in Time::MILLISECOND..=Time::HOUR;
        /// How soon nodes that share a bucket follow each other's purges.
        purge_interval: Time = "5s", "TIME" in Time::MILLISECOND..=Time::HOUR;
        /// Keep results of the Images binding.
        cache_binding: bool = true, "BOOL";
        /// Ask the origin for its images at every request, as if it sent no-cache, and have browsers do the same; for
        /// development. `wholeplate dev` does so.
        revalidate: bool = false, "BOOL";
        /// File with the bearer token of the purge API; without it, only connections from loopback may purge.
        admin_token_file: Option<PathBuf>, "FILE";
    }
    "Edge mode" {
        /// Pass all other paths on to the HTTP origin and its responses back, WebSockets and server-sent events included;
        /// see docs/edge.md. cf-blob-header is then read on the Unix socket alone.
        pass_through: bool = false, "BOOL";
        /// `Host` of requests to the origin with pass-through; without this setting, that of the visitor.
        origin_host: Option<HostField>, "HOST";
        /// Time that the origin may take for the head of a response to a request that is passed on, counted from the last
        /// progress of the request.
        origin_timeout: Time = "100s", "TIME" in Time::MILLISECOND..=Time::DAY;
    }
    "Images" {
        /// Refuse unknown options instead of warning about them.
        strict: bool = false, "BOOL";
        /// Formats to accept as inputs besides JPEG, PNG, GIF, WebP, AVIF and SVG: tiff, bmp, jxl. Comma-separated.
        extra_inputs: Vec<String>, "FORMATS";
        /// Formats not to accept as inputs, such as avif. Comma-separated.
        refused_inputs: Vec<String>, "FORMATS";
        /// Largest input of the binding; a number without a unit counts bytes.
        max_input: Bytes = "20MB", "SIZE" in Bytes(1)..=Bytes(4_000_000_000);
        /// Time that an image may be computed, from the first instruction spent on its request.
        compute_timeout: Time = "30s", "TIME" in Time::MILLISECOND..=Time::DAY;
    }
    "What may be asked" {
        /// Named options: `[presets.hero]` with `options = "width=1200,fit=cover"`, asked for as preset=hero. File only.
        presets: PresetTable, "TABLE";
        /// Refuse transformation URLs whose options are not exactly one preset.
        only_presets: bool = false, "BOOL";
        /// File with keys of signed URLs, one `name:key` a line: the first signs (`wholeplate sign`), all verify.
        sign_key_file: Option<PathBuf>, "FILE";
        /// Whether transformation URLs have to be signed: required (with sign-key-file the default), optional, off.
        signed: Option<Signing>, "MODE";
        /// Widths of transformation URLs; others move to the next larger one, with a warning. Comma-separated.
        allowed_widths: Vec<u32>, "PIXELS";
        /// Largest width of a result; a wider one is made smaller, with a warning.
        max_width: Option<u32>, "PIXELS";
        /// Largest height of a result; a higher one is made smaller, with a warning.
        max_height: Option<u32>, "PIXELS";
        /// Largest area of a result; a larger one is made smaller, with a warning.
        max_output_pixels: Option<u64>, "PIXELS";
        /// Formats that results may have, such as webp,jpeg,png; format=auto takes the best of them. Comma-separated.
        allowed_formats: Vec<String>, "FORMATS";
        /// Frames of an animation beyond this number are dropped, with a warning.
        max_animation_frames: Option<u32>, "N";
        /// Transformations that one client may ask for in a second; ten seconds' worth may come at once. A client is what
        /// client-header names, else an address.
        rate_limit: Option<Rate>, "N";
    }
    "Workers runtime" {
        /// Request header with `request.cf` as JSON. Only a Workers runtime may be able to set it: whoever sets it has
        /// this program fetch for them, on TCP too. On the Unix socket, requests without it are passed on to their origins.
        cf_blob_header: Option<HeaderName>, "NAME";
        /// Request header with the scheme of the URL that a Worker fetched; read only with cf-blob-header.
        forwarded_proto_header: HeaderName = "x-forwarded-proto", "NAME";
    }
    "Models" {
        /// ONNX model for `segment=foreground`. See docs/models.md.
        segment_model: Option<PathBuf>, "FILE";
        /// ONNX model for `upscale=generate` that enlarges two or four times. Repeatable, once for each.
        upscale_model: Vec<PathBuf>, "FILE";
    }
    "Capacity" {
        /// Images worked on at once; 0 is one for each core.
        workers: usize = 0, "N" in 0..=1024;
        /// Longest time that a request may be expected to wait for a worker. A request with a longer expected wait is
        /// refused at once, with `Retry-After`.
        queue_timeout: Time = "10s", "TIME" in Time::MILLISECOND..=Time::HOUR;
        /// Request header that names the client, such as x-forwarded-for behind a proxy that sets it; of a list, the last
        /// element counts, which the nearest proxy added. Workers are shared fairly between clients, and rate-limit counts
        /// by client; without this setting, a client is an address.
        client_header: Option<HeaderName>, "NAME";
        /// Disk space for uploads and sources that do not stay in memory; a number without a unit counts MiB.
        spool: Mebibytes = 2048, "SIZE" in Mebibytes::new(1)..=Mebibytes::new(1 << 24);
        /// Memory of the whole service, inputs and results that are read slowly included; a number without a unit
        /// counts MiB.
        memory: Mebibytes = 2048, "SIZE" in Mebibytes::new(64)..=Mebibytes::new(1 << 22);
    }
    "Connections" {
        /// Connections served at once; the others wait to be accepted.
        max_connections: usize = 4096, "N" in 1..=1_000_000;
        /// Time that the head of a request, or a TLS handshake, may take.
        header_timeout: Time = "15s", "TIME" in Time::MILLISECOND..=Time::DAY;
        /// Time that a connection may stay open without a request.
        idle_timeout: Time = "75s", "TIME" in Time::MILLISECOND..=Time::DAY;
        /// Time without a byte of progress after which a client, or a fetch that is passed on, is cut.
        stall_timeout: Time = "30s", "TIME" in Time::MILLISECOND..=Time::DAY;
        /// Time for a response to be read by its client, plus its length divided by min-rate.
        response_timeout: Time = "120s", "TIME" in Time::MILLISECOND..=Time::DAY;
        /// Time after SIGTERM in which requests are still served while /readyz says 503, for load balancers to notice.
        drain_delay: Time = "0s", "TIME" in Time::ZERO..=Time::DAY;
        /// Time that open responses may take after SIGTERM.
        drain_timeout: Time = "30s", "TIME" in Time::ZERO..=Time::DAY;
    }
    "Monitoring" {
        /// Address of the admin server with /metrics, /livez and /readyz.
        admin: Option<Address>, "ADDR";
        /// Format of log lines: human or json.
        log: LogFormat = "human", "FORMAT";
        /// Send `Server-Timing` with every response; without this, only to requests with `Want-Server-Timing: ?1`.
        server_timing: bool = false, "BOOL";
    }
    "Sandbox" {
        /// Do not limit by Landlock and seccomp what the process may do once it serves.
        no_sandbox: bool = false, "BOOL";
    }
}
