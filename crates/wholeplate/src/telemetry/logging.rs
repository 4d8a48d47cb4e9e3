//! The log on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Target of the lines about images that could not be made.
pub(crate) const FAILED_IMAGES: &str = "wholeplate::image";
/// Levels of a server: in production a client may cause as many failed images as it likes.
pub(crate) const SERVER_LEVELS: &str = "info,wholeplate::image=warn";
/// Levels beside a development server: a terminal shows the output of that server; of this one only what is wrong.
pub(crate) const DEVELOPMENT_LEVELS: &str = "warn,wholeplate::image=info";

/// `levels` are for where the environment names none.
pub(crate) fn start_logging(format: LogFormat, levels: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(levels));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Files and collectors of logs take colours for noise.
    let builder = builder.with_ansi(std::io::stderr().is_terminal());
    // A subscriber that is there already is somebody else's choice.
    let _ = match format {
        LogFormat::Human => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
