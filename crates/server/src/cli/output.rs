//! What a command says on stdout: text for people, JSON for programs.

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};

use clap::Args;
use serde_json::Value;

use super::failure::Failure;

/// In which form a command answers.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

impl Output {
    /// Says it in the form asked for.
    pub(crate) fn show(self, json: &Value, text: impl Display) -> Result<(), Failure> {
        if self.json {
            print(format_args!("{json:#}"))
        } else {
            print(text)
        }
    }
}

/// Writes a line, or several, to stdout. A reader that has gone away (`| head`) has read what it wanted.
pub(crate) fn print(text: impl Display) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::new(format!(
            "cannot write to standard output: {error}"
        ))),
        _ => Ok(()),
    }
}
