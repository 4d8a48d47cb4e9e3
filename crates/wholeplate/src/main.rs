//! The program: `wholeplate serve` and `wholeplate transform`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod batch;
mod error;
mod serve;
mod url_door;
mod work;

#[derive(Debug, Parser)]
#[command(name = "wholeplate", version, about = "Cloudflare Images, self-hosted")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve /cdn-cgi/image/<options>/<source> from a directory of originals.
    #[command(after_help = "Example:\n  wholeplate serve --origin ./pictures --listen 127.0.0.1:8787")]
    Serve {
        /// Address to listen on; port 0 takes a free one.
        #[arg(long, env = "WHOLEPLATE_LISTEN", default_value = "127.0.0.1:8787")]
        listen: String,
        /// Directory that sources resolve against; no path leaves it.
        #[arg(long, env = "WHOLEPLATE_ORIGIN")]
        origin: PathBuf,
    },
    /// Transform one file.
    #[command(
        after_help = "Example:\n  wholeplate transform in.jpg -o out.webp --options 'width=400,fit=cover,format=webp'"
    )]
    Transform {
        input: PathBuf,
        #[arg(short, long)]
        output: PathBuf,
        /// The options of the URL interface.
        #[arg(long)]
        options: String,
    },
    /// Describe files: one JSON object a line, the shape of `format=json`.
    #[command(after_help = "Example:\n  wholeplate info photo.jpg logo.png")]
    Info { files: Vec<PathBuf> },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve { listen, origin } => serve::run(&listen, &origin),
        Command::Transform { input, output, options } => batch::transform(&input, &output, &options),
        Command::Info { files } => batch::info(&files),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("wholeplate: {message}");
            ExitCode::FAILURE
        }
    }
}
