//! Files on the command line.

use std::path::{Path, PathBuf};

use imaging::Body;
use recipe::dialect::{self, Door, ParseMode};
use recipe::{FormatChoice, Output, Recipe, Transform};

use crate::work;

pub(crate) fn transform(input: &Path, output: &Path, options: &str) -> Result<(), String> {
    let parsed = dialect::parse_options(options, Door::CommandLine, ParseMode::default())
        .map_err(|e| format!("--options: {e}"))?;
    let resolved = parsed.value.resolve(&dialect::ClientHints::default());
    let bytes = std::fs::read(input).map_err(|e| format!("{}: {e}", input.display()))?;
    let (rendered, notices) = work::make(&resolved.recipe, &bytes, &work::means())
        .map_err(|f| format!("{}: {}", input.display(), f.body()))?;
    for notice in parsed.notices.iter().chain(&resolved.notices).chain(&notices) {
        eprintln!("warning: {}", notice.0);
    }
    let body = match rendered.body {
        Body::Bytes(body) => body,
        Body::Input => bytes,
    };
    std::fs::write(output, body).map_err(|e| format!("{}: {e}", output.display()))
}

#[allow(clippy::print_stdout)]
pub(crate) fn info(files: &[PathBuf]) -> Result<(), String> {
    let output = Output { format: FormatChoice::Json, ..Output::default() };
    let recipe = Recipe::single(Transform::default(), output);
    let mut failed = 0;
    for file in files {
        let done = std::fs::read(file)
            .map_err(|e| e.to_string())
            .and_then(|bytes| work::make(&recipe, &bytes, &work::means()).map_err(|f| f.body()));
        match done {
            Ok((rendered, _)) => {
                if let Body::Bytes(json) = rendered.body {
                    println!("{}", String::from_utf8_lossy(&json));
                }
            }
            Err(e) => {
                eprintln!("{}: {e}", file.display());
                failed += 1;
            }
        }
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} files could not be read", files.len())) }
}
