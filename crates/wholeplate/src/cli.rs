//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The program's arguments.
#[derive(Debug, Parser)]
#[command(
    name = "wholeplate",
    version,
    about = "Cloudflare Images, self-hosted",
    after_help = "Examples:\n  wholeplate serve --origin ./pictures\n  wholeplate transform in.jpg -o out.webp --options 'width=400,height=400,fit=cover'\n  wholeplate info *.jpg"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve /cdn-cgi/image/<options>/<source>, and the Images binding on a Unix socket.
    #[command(
        after_help = "Examples:\n  wholeplate serve --origin ./pictures\n      http://127.0.0.1:8787/cdn-cgi/image/width=400,format=webp/photo.jpg\n  wholeplate serve --origin https://images.example --allow-origin '*.example.org'\n  wholeplate serve --unix /run/wholeplate.sock --listen none\n  wholeplate serve --origin ./pictures --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem\n\nEvery flag can stand in the file of --config, and in the environment: --max-source is\nWHOLEPLATE_MAX_SOURCE. Flags win over the environment, and that over the file."
    )]
    Serve(Box<Settings>),
    /// Transform files.
    #[command(
        after_help = "Examples:\n  wholeplate transform in.jpg -o out.webp --options 'width=400,height=400,fit=cover'\n  wholeplate transform 'photos/*.jpg' -o small/ --options 'width=800,format=avif'\n  cat in.png | wholeplate transform - -o - --options 'rotate=90' > out.png"
    )]
    Transform {
        /// Files or globs; `-` is standard input.
        #[arg(required = true)]
        inputs: Vec<OsString>,
        /// A file, a directory (for several inputs, or with a slash at its end), or `-` for standard output.
        ///
        /// The extension of a file (jpg, png, webp, avif, gif, json) is the format, where the options give none.
        /// Files appear whole or not at all; a device or FIFO is written as it is, a link is followed.
        #[arg(short, long)]
        output: PathBuf,
        /// The options of the URL interface.
        #[arg(long)]
        options: String,
        /// Refuse unknown options instead of warning about them.
        #[arg(long)]
        strict: bool,
        /// Formats to accept beside JPEG, PNG, GIF, WebP, AVIF and SVG: tiff, bmp, jxl. Comma-separated.
        #[arg(long, value_name = "FORMATS", value_delimiter = ',')]
        extra_inputs: Vec<String>,
        #[command(flatten)]
        models: ModelFiles,
    },
    /// Describe files: one JSON object a line, the shape of `format=json`.
    #[command(after_help = "Example:\n  wholeplate info photo.jpg logo.png")]
    Info {
        /// Files or globs; `-` is standard input.
        #[arg(required = true)]
        files: Vec<OsString>,
        /// Formats to accept beside JPEG, PNG, GIF, WebP, AVIF and SVG: tiff, bmp, jxl. Comma-separated.
        #[arg(long, value_name = "FORMATS", value_delimiter = ',')]
        extra_inputs: Vec<String>,
        /// Say what this ONNX model takes for the foreground, as `segment=foreground` does with `format=json`.
        #[arg(long, value_name = "FILE")]
        segment_model: Option<PathBuf>,
    },
    /// Print the effective configuration as TOML.
    #[command(
        after_help = "Example:\n  WHOLEPLATE_MEMORY=512 wholeplate config --origin ./pictures > wholeplate.toml"
    )]
    Config(Box<Settings>),
    /// Print a script of completions for a shell.
    #[command(after_help = "Example:\n  wholeplate completions bash > /etc/bash_completion.d/wholeplate")]
    Completions { shell: clap_complete::Shell },
    /// List the responses that an HTTP/1 server cut short, from the output of `strace -f`.
    ///
    /// Ends with status 0 when none was cut, 1 when one was, 2 when the trace cannot be read, or could not have shown
    /// a cut. Responses whose promised length the trace does not show, and of which every write was taken as it was
    /// offered, are counted as unseen, with a warning: trace with `-s 4096` or more. A trace in which no connection is
    /// accepted and nothing is sent gets a warning too.
    #[command(
        after_help = "Examples:\n  strace -f -tt -s 4096 -o trace -p PID; wholeplate strace-check trace\n  strace -f -p PID 2>&1 | wholeplate strace-check -"
    )]
    StraceCheck {
        /// The trace; `-` is standard input, read as it comes.
        file: PathBuf,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
        /// Each process has file descriptors of its own, though they were not seen to be made.
        #[arg(long)]
        per_process: bool,
    },
}

/// Files of trained models. What is not given comes from the environment.
#[derive(Debug, Args)]
pub(crate) struct ModelFiles {
    /// ONNX model for `segment=foreground`. See docs/models.md.
    #[arg(long, value_name = "FILE")]
    segment_model: Option<String>,
    /// ONNX model for `upscale=generate` that enlarges two or four times. Repeatable, once for each.
    #[arg(long, value_name = "FILE")]
    upscale_model: Vec<String>,
}

impl ModelFiles {
    /// What was given, by the names of the configuration file.
    pub(crate) fn table(&self) -> toml::Table {
        let mut table = toml::Table::new();
        if let Some(path) = &self.segment_model {
            table.insert("segment-model".to_owned(), path.clone().into());
        }
        if !self.upscale_model.is_empty() {
            table.insert("upscale-model".to_owned(), self.upscale_model.clone().into());
        }
        table
    }
}

/// The flags of `serve` and `config`. What is not given comes from the environment or the file.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// A TOML file with any of these settings.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:8787]; port 0 takes a free one, `none` opens no TCP door.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Unix socket to listen on, with the Images binding (POST /info, POST /transform).
    #[arg(long, value_name = "PATH")]
    unix: Option<String>,
    /// Permission bits of the socket file, octal [default: 660].
    #[arg(long, value_name = "MODE")]
    unix_mode: Option<String>,
    /// Numeric owner of the socket file.
    #[arg(long, value_name = "UID")]
    unix_uid: Option<u32>,
    /// Numeric group of the socket file.
    #[arg(long, value_name = "GID")]
    unix_gid: Option<u32>,
    /// What relative sources resolve against: a directory (no path leaves it) or an http(s) URL.
    #[arg(long, value_name = "DIR_OR_URL")]
    origin: Option<String>,
    /// Host whose absolute source URLs are fetched: example.com, *.example.com, example.com/path, or *. Repeatable.
    #[arg(long, value_name = "HOST_PATTERN")]
    allow_origin: Vec<String>,
    /// Fetch absolute sources from loopback, private and link-local addresses too.
    #[arg(long)]
    allow_private_network: bool,
    /// Answer the Images binding on TCP too.
    #[arg(long)]
    binding_on_tcp: bool,
    /// Request header with `request.cf` as JSON, set by a Workers runtime and by nobody else: whoever sets it has this
    /// program fetch for them, on the TCP door too. On the Unix socket, requests without it are passed on to their origins.
    #[arg(long, value_name = "NAME")]
    cf_blob_header: Option<String>,
    /// Request header with the scheme of the URL that a Worker fetched [default: x-forwarded-proto]; read only with
    /// --cf-blob-header.
    #[arg(long, value_name = "NAME")]
    forwarded_proto_header: Option<String>,
    /// Images worked on at once [default: one for each core].
    #[arg(long, value_name = "N")]
    workers: Option<i64>,
    /// Requests that may wait for a worker [default: 256].
    #[arg(long, value_name = "N")]
    queue: Option<i64>,
    /// Memory of the whole service in MiB, inputs and results that are read slowly included [default: 2048].
    #[arg(long, value_name = "MIB")]
    memory: Option<i64>,
    /// Seconds that an image may be computed [default: 30].
    #[arg(long, value_name = "SECONDS")]
    compute_timeout: Option<i64>,
    /// Seconds to connect to a source and get its head [default: 10].
    #[arg(long, value_name = "SECONDS")]
    connect_timeout: Option<i64>,
    /// Seconds that the body of a source may pause [default: 15].
    #[arg(long, value_name = "SECONDS")]
    read_timeout: Option<i64>,
    /// Largest source in bytes [default: 100000000].
    #[arg(long, value_name = "BYTES")]
    max_source: Option<i64>,
    /// Largest input of the binding in bytes [default: 20000000].
    #[arg(long, value_name = "BYTES")]
    max_input: Option<i64>,
    /// Redirects that are followed [default: 5].
    #[arg(long, value_name = "N")]
    max_redirects: Option<i64>,
    /// Seconds that responses under way may take after SIGTERM [default: 30].
    #[arg(long, value_name = "SECONDS")]
    drain_timeout: Option<i64>,
    /// Unknown options are errors instead of warnings.
    #[arg(long)]
    strict: bool,
    /// Formats to accept as inputs beside JPEG, PNG, GIF, WebP, AVIF and SVG: tiff, bmp, jxl. Comma-separated.
    #[arg(long, value_name = "FORMATS", value_delimiter = ',')]
    extra_inputs: Vec<String>,
    /// Formats not to accept as inputs, such as avif. Comma-separated.
    #[arg(long, value_name = "FORMATS", value_delimiter = ',')]
    refused_inputs: Vec<String>,
    /// PEM file of a certificate chain; the TCP door then speaks TLS, HTTP/2 and HTTP/1.1. Needs --tls-key.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// PEM file of the certificate's private key.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// Connections served at once [default: 4096]; the others wait to be accepted.
    #[arg(long, value_name = "N")]
    max_connections: Option<i64>,
    /// Seconds that the head of a request may take [default: 15].
    #[arg(long, value_name = "SECONDS")]
    header_timeout: Option<i64>,
    /// Seconds that a connection may stay open with nothing under way [default: 75].
    #[arg(long, value_name = "SECONDS")]
    idle_timeout: Option<i64>,
    /// Seconds without a byte of progress after which a client, or a fetch that is passed on, is given up [default: 30].
    #[arg(long, value_name = "SECONDS")]
    stall_timeout: Option<i64>,
    #[command(flatten)]
    models: ModelFiles,
    /// Address of /metrics and /healthz.
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// human or json [default: human].
    #[arg(long, value_name = "FORMAT")]
    log: Option<String>,
    /// Say in `Server-Timing` where the time went; without this, requests with `Want-Server-Timing: ?1` are told.
    #[arg(long)]
    server_timing: bool,
}

impl Settings {
    /// What was given, by the names of the configuration file.
    pub(crate) fn table(&self) -> toml::Table {
        let mut table = self.models.table();
        let texts = [
            ("listen", &self.listen),
            ("unix", &self.unix),
            ("unix-mode", &self.unix_mode),
            ("origin", &self.origin),
            ("cf-blob-header", &self.cf_blob_header),
            ("forwarded-proto-header", &self.forwarded_proto_header),
            ("tls-cert", &self.tls_cert),
            ("tls-key", &self.tls_key),
            ("admin", &self.admin),
            ("log", &self.log),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                table.insert(name.to_owned(), value.clone().into());
            }
        }
        let numbers = [
            ("unix-uid", self.unix_uid.map(i64::from)),
            ("unix-gid", self.unix_gid.map(i64::from)),
            ("workers", self.workers),
            ("queue", self.queue),
            ("memory", self.memory),
            ("compute-timeout", self.compute_timeout),
            ("connect-timeout", self.connect_timeout),
            ("read-timeout", self.read_timeout),
            ("max-source", self.max_source),
            ("max-input", self.max_input),
            ("max-redirects", self.max_redirects),
            ("drain-timeout", self.drain_timeout),
            ("max-connections", self.max_connections),
            ("header-timeout", self.header_timeout),
            ("idle-timeout", self.idle_timeout),
            ("stall-timeout", self.stall_timeout),
        ];
        for (name, value) in numbers {
            if let Some(value) = value {
                table.insert(name.to_owned(), value.into());
            }
        }
        let switches = [
            ("allow-private-network", self.allow_private_network),
            ("binding-on-tcp", self.binding_on_tcp),
            ("strict", self.strict),
            ("server-timing", self.server_timing),
        ];
        for (name, given) in switches {
            if given {
                table.insert(name.to_owned(), true.into());
            }
        }
        let lists = [
            ("allow-origin", &self.allow_origin),
            ("extra-inputs", &self.extra_inputs),
            ("refused-inputs", &self.refused_inputs),
        ];
        for (name, values) in lists {
            if !values.is_empty() {
                table.insert(name.to_owned(), values.clone().into());
            }
        }
        table
    }
}
