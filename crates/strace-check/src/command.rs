//! The command: reads a trace and writes a table or JSON lines, each cut when it is found.

use std::cell::RefCell;
use std::io::{self, BufRead, Write};

use crate::report::{Cut, HEADER, Summary};
use crate::{Error, Options, follow};

/// The format of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A table, and a sentence at the end.
    #[default]
    Table,
    /// One JSON object a line: each cut, and `{"summary": {...}}` at the end.
    JsonLines,
}

/// Reads a trace to its end, as [`check`](crate::check) does, and writes its cuts and its summary to `out`.
///
/// Each cut is written and flushed when its connection ends in the trace, so that a trace from a pipe can be watched
/// while the program runs. [`Summary::exit_status`] is the exit status of the command.
///
/// ```
/// let trace = "accept(3, NULL, NULL) = 7\nwrite(7, \"HTTP/1.1 200 OK\"..., 1000) = 400\nclose(7) = 0\n";
/// let mut out = Vec::new();
/// let summary = strace_check::report(
///     trace.as_bytes(), &mut out, strace_check::Format::JsonLines, &strace_check::Options::default(),
/// )?;
/// assert_eq!(summary.exit_status(), 1);
/// assert!(String::from_utf8_lossy(&out).contains("\"missing\":600"));
/// # Ok::<(), strace_check::Error>(())
/// ```
///
/// # Errors
/// As [`check`](crate::check); [`Error::Write`] if `out` fails, which stops reading; and [`Error::NotATrace`] if the input is
/// not the output of strace.
pub fn report(
    reader: impl BufRead,
    out: &mut dyn Write,
    format: Format,
    options: &Options,
) -> Result<Summary, Error> {
    let state = RefCell::new(Output { out, format, begun: false, failure: None });
    let stopped = || state.borrow().failure.is_some();
    let followed = follow(reader, &mut |cut| state.borrow_mut().cut(&cut), options, &stopped);
    let mut output = state.into_inner();
    if let Some(error) = output.failure.take() {
        return Err(Error::Write(error));
    }
    let summary = followed?;
    if summary.recognised == 0 {
        return Err(Error::NotATrace { lines: summary.lines });
    }
    output.summary(&summary).map_err(Error::Write)?;
    Ok(summary)
}

struct Output<'a> {
    out: &'a mut dyn Write,
    format: Format,
    begun: bool,
    failure: Option<io::Error>,
}

impl Output<'_> {
    fn cut(&mut self, cut: &Cut) {
        if self.failure.is_none() {
            self.failure = self.write_cut(cut).err();
        }
    }

    fn write_cut(&mut self, cut: &Cut) -> io::Result<()> {
        match self.format {
            Format::Table => {
                if !self.begun {
                    writeln!(self.out, "{HEADER}")?;
                    self.begun = true;
                }
                writeln!(self.out, "{cut}")?;
            }
            Format::JsonLines => writeln!(self.out, "{}", cut.to_json())?,
        }
        self.out.flush()
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        match self.format {
            Format::Table if self.begun => writeln!(self.out, "\n{summary}")?,
            Format::Table => writeln!(self.out, "{summary}")?,
            Format::JsonLines => writeln!(self.out, "{}", summary.to_json())?,
        }
        self.out.flush()
    }
}
