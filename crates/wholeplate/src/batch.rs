//! Files on the command line: `transform` and `info`.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use imaging::{AcceptedFormats, Body};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use recipe::dialect::{self, ClientHints, Dialect, ParseMode};
use recipe::{FormatChoice, Output, Recipe, Step, Transform, Upscale, Warning};

use crate::admission::render_here;
use crate::config::Config;
use crate::models;
use crate::sandbox::{self, Calls, Files};
use crate::stdout;

mod names;
mod target;

use target::Target;

/// Largest file that is read, in bytes.
const MAX_INPUT: u64 = 1 << 30;

/// An input of the command line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Input {
    Stdin,
    File(PathBuf),
}

impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Input {
    fn read(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let read = match self {
            Self::Stdin => std::io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut bytes),
            Self::File(path) => {
                std::fs::File::open(path).and_then(|file| file.take(MAX_INPUT + 1).read_to_end(&mut bytes))
            }
        };
        read.map_err(|e| format!("{self}: {e}"))?;
        if bytes.len() as u64 > MAX_INPUT {
            return Err(format!("{self}: larger than {MAX_INPUT} bytes"));
        }
        Ok(bytes)
    }
}

/// The inputs of the arguments; a pattern stands for the files that match it.
fn expand(names: &[OsString]) -> Result<Vec<Input>, String> {
    let mut inputs = Vec::new();
    for name in names {
        if name == "-" {
            inputs.push(Input::Stdin);
        } else if Path::new(name).exists() || !names::is_pattern(name) {
            inputs.push(Input::File(name.into()));
        } else {
            let before = inputs.len();
            let found = names::matching(name).map_err(|e| format!("{}: {e}", name.display()))?;
            inputs.extend(found.into_iter().filter(|p| p.is_file()).map(Input::File));
            if inputs.len() == before {
                return Err(format!("{}: no file matches", name.display()));
            }
        }
    }
    // Overlapping patterns must not transform a file twice.
    let mut seen = HashSet::new();
    inputs.retain(|input| *input == Input::Stdin || seen.insert(input.clone()));
    if inputs.iter().filter(|i| **i == Input::Stdin).count() > 1 {
        return Err("standard input can be given once".to_owned());
    }
    Ok(inputs)
}

fn accepted(extra: &[String]) -> Result<AcceptedFormats, String> {
    AcceptedFormats::new(extra, &[]).map_err(|e| format!("--extra-inputs: {e}"))
}

/// `wholeplate transform`: transforms the inputs on all cores. A failed input does not stop the others; the error counts them.
pub(crate) fn transform(
    names: &[OsString],
    output: &Path,
    options: &str,
    strict: bool,
    extra_inputs: &[String],
    config: &Config,
) -> Result<(), String> {
    let accepted = accepted(extra_inputs)?;
    let inputs = expand(names)?;
    let parse = |options: &str| {
        dialect::parse_options(options, Dialect::CommandLine, ParseMode::new(strict))
            .map_err(|e| format!("--options: {e}"))
    };
    let target = Target::new(output, &inputs)?;
    let by_extension = target.format().map(|format| format!("format={format}"));
    let options = match (options, &by_extension) {
        ("", None) => {
            return Err("--options: give options, or an output file whose extension is a format".to_owned());
        }
        ("", Some(format)) => format.as_str(),
        (options, _) => options,
    };
    let mut parsed = parse(options);
    if let Some(format) = target.format()
        && parsed.as_ref().is_ok_and(|p| p.value.output.format == FormatChoice::Standard)
    {
        // Parsing the format as an option gives the same bytes as every other interface.
        parsed = parse(&format!("{options},format={format}"));
    }
    let parsed = parsed?;
    let resolved = parsed.value.resolve(&ClientHints::default());
    let models = models_for(&resolved.recipe, config)?;
    target.prepare()?;
    if !config.no_sandbox {
        enter_sandbox(&inputs, target.places());
    }
    let warn = |text: &str| eprintln!("warning: {text}");
    let mut told = Vec::new();
    for Warning(text) in parsed.warnings.iter().chain(&resolved.warnings) {
        if !told.contains(text) {
            warn(text);
            told.push(text.clone());
        }
    }
    let bar = progress(inputs.len());
    let (began, read, written) = (Instant::now(), AtomicU64::new(0), AtomicU64::new(0));
    let told = Mutex::new(told);
    let one = |input: &Input| -> Result<(), String> {
        let bytes = input.read()?;
        let (rendered, warnings) = render_here(&resolved.recipe, &bytes, &accepted, &models)
            .map_err(|f| format!("{input}: {}", f.body()))?;
        if let Ok(told) = told.lock() {
            for Warning(text) in warnings.iter().filter(|Warning(text)| !told.contains(text)) {
                bar.suspend(|| warn(&format!("{input}: {text}")));
            }
        }
        let choice = resolved.recipe.output.format;
        if let Some(doubt) = target.doubt(rendered.format, choice) {
            warn(&doubt);
        }
        let body = match &rendered.body {
            Body::Bytes(body) => body,
            Body::Input => &bytes,
        };
        target.write(input, rendered.format, choice == FormatChoice::Json, body)?;
        read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        written.fetch_add(body.len() as u64, Ordering::Relaxed);
        Ok(())
    };
    let failed = on_all_cores(&inputs, &bar, one);
    bar.finish_and_clear();
    if inputs.len() > 1 {
        let (read, written) = (HumanBytes(read.into_inner()), HumanBytes(written.into_inner()));
        let (done, seconds) = (inputs.len() - failed, began.elapsed().as_secs_f64());
        eprintln!("{done} files, {read} to {written}, {seconds:.1} s");
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} inputs failed", inputs.len())) }
}

/// Limits the process to reading its inputs and writing its results, before the decoding threads start. A kernel without
/// these features gives no warning, because it would appear on every run.
fn enter_sandbox(inputs: &[Input], results: Vec<PathBuf>) {
    let paths = inputs.iter().filter_map(|input| match input {
        Input::Stdin => None,
        // A pipe in /dev/fd has no path and needs no rule.
        Input::File(path) => path.canonicalize().ok(),
    });
    sandbox::restrict_files(&Files::system().read(paths).write(results));
    sandbox::restrict_calls(Calls::FilesOnly);
}

/// Loads only the models that the recipe uses, because a large one takes seconds.
fn models_for(recipe: &Recipe, config: &Config) -> Result<models::Shared, String> {
    let asks = |what: fn(&Transform) -> bool| {
        recipe.steps.iter().any(|step| matches!(step, Step::Transform { transform, .. } if what(transform)))
    };
    let segment = config.segment_model.as_deref().filter(|_| asks(|t| t.segment_foreground));
    let generates = asks(|t| t.upscale == Some(Upscale::Generate));
    models::load(segment, if generates { &config.upscale_model } else { &[] })
}

fn progress(length: usize) -> ProgressBar {
    if length < 2 || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} files, {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// Runs `one` on every input, prints the errors and returns their number.
fn on_all_cores(
    inputs: &[Input],
    bar: &ProgressBar,
    one: impl Fn(&Input) -> Result<(), String> + Sync,
) -> usize {
    let next = AtomicUsize::new(0);
    let failed = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(inputs.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(input) = inputs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(message) = one(input) {
                        failed.fetch_add(1, Ordering::Relaxed);
                        bar.suspend(|| eprintln!("wholeplate: {message}"));
                    }
                    bar.inc(1);
                }
            });
        }
    });
    failed.into_inner()
}

/// `wholeplate info`: one JSON object for each file.
pub(crate) fn info(
    names: &[OsString],
    extra_inputs: &[String],
    segment_model: Option<&Path>,
    no_sandbox: bool,
) -> Result<(), String> {
    let accepted = accepted(extra_inputs)?;
    let models = models::load(segment_model, &[])?;
    let transform = Transform { segment_foreground: segment_model.is_some(), ..Transform::default() };
    let output = Output { format: FormatChoice::Json, ..Output::default() };
    let recipe = Recipe::single(transform, output);
    let inputs = expand(names)?;
    if !no_sandbox {
        enter_sandbox(&inputs, Vec::new());
    }
    let mut failed = 0;
    for input in &inputs {
        let done = input.read().and_then(|bytes| {
            render_here(&recipe, &bytes, &accepted, &models).map_err(|f| format!("{input}: {}", f.body()))
        });
        match done {
            Ok((rendered, _)) => {
                if let Body::Bytes(json) = rendered.body {
                    stdout::write(&[&json[..], b"\n"].concat())?;
                }
            }
            Err(message) => {
                eprintln!("wholeplate: {message}");
                failed += 1;
            }
        }
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} files could not be read", inputs.len())) }
}
