//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand};

use crate::config::{Form, Given, RETIRED, Raw, Setting, settings};
use crate::purge::PurgeArgs;

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
        after_help = "Examples:\n  wholeplate serve --origin ./pictures\n      http://127.0.0.1:8565/cdn-cgi/image/width=400,format=webp/photo.jpg\n  wholeplate serve --origin https://images.example --allow-origin '*.example.org'\n  wholeplate serve --unix /run/wholeplate.sock --listen none\n  wholeplate serve --origin ./pictures --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem\n\nEvery flag can stand in the file of --config, and in the environment: --max-source is\nWHOLEPLATE_MAX_SOURCE. Flags win over the environment, and that over the file."
    )]
    Serve(Box<Settings>),
    /// Serve in front of a development server: its pages, /cdn-cgi/image/ and the binding at one address.
    ///
    /// Takes every setting of `serve`. COMMAND is started with its output shown, and stopped when this program ends.
    #[command(
        after_help = "Examples:\n  wholeplate dev -- npx vite\n  wholeplate dev -- npm run dev\n  wholeplate dev --origin http://localhost:3000\n  wholeplate dev --origin http://localhost:3000 -- npx next dev"
    )]
    Dev {
        /// Seconds to wait for the development server to listen.
        #[arg(long, value_name = "SECONDS", default_value_t = 120)]
        wait: u64,
        #[command(flatten)]
        settings: Box<Settings>,
        /// The command that starts the development server.
        #[arg(last = true)]
        command: Vec<OsString>,
    },
    /// Transform files.
    #[command(
        after_help = "Examples:\n  wholeplate transform in.jpg -o out.webp\n  wholeplate transform in.jpg -o out.webp --options 'width=400,height=400,fit=cover'\n  wholeplate transform 'photos/*.jpg' -o small/ --options 'width=800,format=avif'\n  cat in.png | wholeplate transform - -o - --options 'rotate=90,format=png' > out.png"
    )]
    Transform {
        /// Files or globs; `-` is standard input.
        #[arg(required = true)]
        inputs: Vec<OsString>,
        /// A file, a directory (for several inputs, or with a slash at its end), or `-` for standard output.
        ///
        /// The extension of a file (jpg, png, webp, avif, gif, json) is the format, if the options name none. Files are
        /// replaced atomically; devices and FIFOs are written in place; links are followed.
        #[arg(short, long)]
        output: PathBuf,
        /// The options of the URL interface. Without them, the extension of the output file is the format.
        #[arg(long)]
        options: Option<String>,
        /// Refuse unknown options instead of warning about them.
        #[arg(long)]
        strict: bool,
        /// Formats to accept beside JPEG, PNG, GIF, WebP, AVIF and SVG: tiff, bmp, jxl. Comma-separated.
        #[arg(long, value_name = "FORMATS", value_delimiter = ',')]
        extra_inputs: Vec<String>,
        #[command(flatten)]
        models: ModelFiles,
        /// Do not restrict the process with Landlock and seccomp while it decodes.
        #[arg(long)]
        no_sandbox: bool,
    },
    /// Describe files: one JSON object per line, as `format=json` returns it.
    #[command(after_help = "Example:\n  wholeplate info photo.jpg logo.png")]
    Info {
        /// Files or globs; `-` is standard input.
        #[arg(required = true)]
        files: Vec<OsString>,
        /// Formats to accept beside JPEG, PNG, GIF, WebP, AVIF and SVG: tiff, bmp, jxl. Comma-separated.
        #[arg(long, value_name = "FORMATS", value_delimiter = ',')]
        extra_inputs: Vec<String>,
        /// Add the foreground that this ONNX model detects, as `segment=foreground` with `format=json` does.
        #[arg(long, value_name = "FILE")]
        segment_model: Option<PathBuf>,
        /// Do not restrict the process with Landlock and seccomp while it decodes.
        #[arg(long)]
        no_sandbox: bool,
    },
    /// Print the effective configuration as TOML.
    #[command(
        after_help = "Example:\n  WHOLEPLATE_MEMORY=512 wholeplate config --origin ./pictures > wholeplate.toml"
    )]
    Config(Box<Settings>),
    /// Check whether the service can start with a configuration on this machine, and list slow or weak settings.
    #[command(after_help = "Example:\n  wholeplate doctor --config /etc/wholeplate.toml")]
    Doctor(Box<Settings>),
    /// Ask a running service whether it is alive, or ready for work. The exit status is 0 if it is.
    #[command(after_help = "Example:\n  wholeplate health --admin 127.0.0.1:9090 --ready")]
    Health {
        /// The address of the service's setting `admin` [default: the value of WHOLEPLATE_ADMIN].
        #[arg(long, value_name = "ADDR")]
        admin: Option<String>,
        /// Ask whether the service accepts work.
        #[arg(long)]
        ready: bool,
    },
    /// Print the signed form of a transformation URL.
    #[command(
        after_help = "Examples:\n  wholeplate sign --sign-key-file keys https://images.example/cdn-cgi/image/width=400/photo.jpg\n  wholeplate sign --sign-key-file keys --expires-in 3600 /cdn-cgi/image/width=400/photo.jpg"
    )]
    Sign {
        /// An absolute URL, or a path with its query, escaped as it will be requested.
        url: String,
        /// A file of keys, one `name:key` per line. The first key signs.
        #[arg(long, value_name = "FILE")]
        sign_key_file: PathBuf,
        /// Seconds until the URL expires. Without it, the URL never expires.
        #[arg(long, value_name = "SECONDS")]
        expires_in: Option<u64>,
    },
    /// Purge sources and their results from the cache of a running service.
    #[command(
        after_help = "Examples:\n  wholeplate purge https://shop.example/a.jpg /uploads/b.jpg\n  wholeplate purge --prefix shop.example/uploads/\n  wholeplate purge --tag product-17 --admin http://10.0.0.5:9090 --token-file /run/secrets/purge"
    )]
    Purge(PurgeArgs),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  wholeplate completions bash > /etc/bash_completion.d/wholeplate")]
    Completions { shell: clap_complete::Shell },
    /// Write the manual pages, one for each command, into a folder.
    #[command(after_help = "Example:\n  wholeplate manual /usr/local/share/man/man1")]
    Manual { folder: PathBuf },
    /// List the responses that an HTTP/1 server cut short, from the output of `strace -f`.
    ///
    /// The exit status is 0 if no response was cut, 1 if one was, and 2 if the trace cannot be read or cannot show cuts.
    /// A response is counted as unseen, with a warning, if the trace does not show its promised length and every write
    /// was complete: trace with `-s 4096` or more. A trace without accepted connections and sent bytes gives a warning.
    #[command(
        after_help = "Examples:\n  strace -f -tt -s 4096 -o trace -p PID; wholeplate strace-check trace\n  strace -f -p PID 2>&1 | wholeplate strace-check -"
    )]
    StraceCheck {
        /// The trace; `-` is standard input, which is read as it arrives.
        file: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
        /// Assume that each process has its own file descriptors, even if the trace does not show their creation.
        #[arg(long)]
        per_process: bool,
    },
}

/// The flags of settings. Missing settings come from the environment or the file.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The file of `--config`.
    pub(crate) file: Option<PathBuf>,
    pub(crate) given: Given,
}

impl Args for Settings {
    fn augment_args(command: clap::Command) -> clap::Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("A TOML file with any of these settings");
        // Retired settings are parsed, so that their error can name the replacement.
        let retired =
            RETIRED.iter().map(|(name, _)| Arg::new(*name).long(*name).hide(true).allow_hyphen_values(true));
        command
            .arg(file)
            .args(settings().iter().filter_map(flag))
            .args(settings().iter().filter_map(off_flag))
            .args(retired)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let retired = RETIRED.iter().filter_map(|(name, _)| {
            let text = matches.get_one::<String>(name)?;
            Some(((*name).to_owned(), Raw::Text(text.clone())))
        });
        let given = settings().iter().filter_map(|s| given(s, matches)).chain(retired).collect();
        Ok(Self { file: matches.get_one::<PathBuf>("config").cloned(), given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The settings that `transform` shares with the service: model files.
#[derive(Debug)]
pub(crate) struct ModelFiles(pub(crate) Given);

/// Whether a setting is one of [`ModelFiles`].
pub(crate) fn is_model(name: &str) -> bool {
    matches!(name, "segment-model" | "upscale-model")
}

impl Args for ModelFiles {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(settings().iter().filter(|s| is_model(&s.name)).filter_map(flag))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ModelFiles {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let models = settings().into_iter().filter(|s| is_model(&s.name));
        Ok(Self(models.filter_map(|s| given(&s, matches)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The flag of a setting; tables have none.
fn flag(setting: &Setting) -> Option<Arg> {
    let arg = Arg::new(setting.name.clone())
        .long(setting.name.clone())
        .value_name(setting.value_name)
        .help(setting.flag_help())
        .help_heading(setting.group)
        .allow_hyphen_values(true);
    match setting.form {
        Form::Table => None,
        Form::Switch => Some(
            arg.num_args(0..=1).require_equals(true).default_missing_value("true").hide_possible_values(true),
        ),
        Form::List => Some(arg.action(ArgAction::Append)),
        Form::Single | Form::Number => Some(arg),
    }
}

/// `--no-NAME` of a switch that is on unless it is turned off.
fn off_flag(setting: &Setting) -> Option<Arg> {
    let on = setting.form == Form::Switch && setting.default.as_deref() == Some("true");
    let name = off_name(setting);
    let arg =
        Arg::new(name.clone()).long(name).action(ArgAction::SetTrue).conflicts_with(setting.name.clone());
    on.then(|| arg.help(format!("The same as --{}=false.", setting.name)).help_heading(setting.group))
}

fn off_name(setting: &Setting) -> String {
    format!("no-{}", setting.name)
}

/// The value of a setting's flag.
fn given(setting: &Setting, matches: &ArgMatches) -> Option<(String, Raw)> {
    if setting.form == Form::Table {
        return None;
    }
    if matches.try_get_one::<bool>(&off_name(setting)).is_ok_and(|off| off == Some(&true)) {
        return Some((setting.name.clone(), Raw::Text("false".to_owned())));
    }
    let mut values = matches.get_many::<String>(&setting.name)?.cloned();
    let raw = if setting.form == Form::List {
        Raw::List(values.flat_map(|text| setting.split(&text)).collect())
    } else {
        Raw::Text(values.next()?)
    };
    Some((setting.name.clone(), raw))
}
