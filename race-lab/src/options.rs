//! The command line.

use crate::case::{CASES, Case, Runner, VERSIONS};

pub const HELP: &str = "\
race-lab: compares received bytes with the ledger's verdicts, on unfixed and fixed versions of hyper

  ./run [options]

  --rows A,B,...       only these rows (A to N)
  --versions V,...     only these versions of hyper (0.14.32, 1.8.1, 1.10.1, 1.11.0, 1.12.0)
  --quick              a fifth of the connections (not of row E), two seconds for row L
  --seconds N          how long row L runs for each version (1 to 600; default 10)
  --json               the table as JSON
  --strace             row F under strace, on hyper 1.8.1 and 1.12.0 (or --versions), with the early shutdown marked
  --record FOLDER      writes the recordings for the tests of strace-check
  --help               this

Exit status: 0 when each ledger agreed with each client and each row matched the published result, 1 when not, 2 when the
lab itself failed.
";

/// The options of the command line.
#[derive(Debug, Default)]
pub struct Options {
    rows: Vec<char>,
    versions: Vec<String>,
    quick: bool,
    seconds: Option<u64>,
    pub json: bool,
    pub strace: bool,
    pub record: Option<std::path::PathBuf>,
}

impl Options {
    /// `None` for `--help`.
    pub fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--rows" => {
                    for row in value()?.split(',') {
                        let mut letters = row.chars();
                        match (letters.next().and_then(Case::find), letters.next()) {
                            (Some(case), None) => options.rows.push(case.letter),
                            _ => return Err(format!("there is no row {row:?}")),
                        }
                    }
                }
                "--versions" => {
                    for version in value()?.split(',') {
                        if !VERSIONS.contains(&version) {
                            return Err(format!("there is no server on hyper {version:?}"));
                        }
                        options.versions.push(version.to_owned());
                    }
                }
                "--seconds" => {
                    let seconds = value()?.parse().ok().filter(|seconds| (1..=600).contains(seconds));
                    options.seconds = Some(seconds.ok_or("--seconds takes 1 to 600")?);
                }
                "--quick" => options.quick = true,
                "--json" => options.json = true,
                "--strace" => options.strace = true,
                "--record" => options.record = Some(value()?.into()),
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("unknown option {argument}, see --help")),
            }
        }
        Ok(Some(options))
    }

    pub fn wants_row(&self, letter: char) -> bool {
        self.rows.is_empty() || self.rows.contains(&letter)
    }

    pub fn wants_version(&self, version: &str) -> bool {
        self.versions.is_empty() || self.versions.iter().any(|wanted| wanted == version)
    }

    /// Whether the version was requested by name.
    pub fn names_version(&self, version: &str) -> bool {
        self.versions.iter().any(|wanted| wanted == version)
    }

    /// The case with the requested number of runs.
    pub fn adjust(&self, case: Case) -> Case {
        let mut case = if self.quick { case.quick() } else { case };
        if let (Runner::Stream { seconds, .. }, Some(wanted)) = (&mut case.runner, self.seconds) {
            *seconds = wanted;
        }
        debug_assert!(CASES.iter().any(|known| known.letter == case.letter));
        case
    }
}
