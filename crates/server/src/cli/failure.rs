//! How a command fails: one line for a person, and an exit code for a script.

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

use store::StoreError;

const FAILED: u8 = 1;
const WRONG_USE: u8 = 2;

/// Why a command failed. The line says what, where and what to do, without a full stop.
#[derive(Debug)]
pub(crate) struct Failure {
    line: String,
    code: u8,
}

impl Failure {
    /// It did not work.
    pub(crate) fn new(line: impl Into<String>) -> Self {
        Self {
            line: line.into(),
            code: FAILED,
        }
    }

    /// The command line is wrong.
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self {
            line: line.into(),
            code: WRONG_USE,
        }
    }

    /// Writes the line to stderr and says how to exit.
    pub(crate) fn report(&self) -> ExitCode {
        // If stderr is closed, the exit code still tells.
        let _ = writeln!(std::io::stderr().lock(), "heliostat: {self}");
        ExitCode::from(self.code)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(format!("the database failed: {error}"))
    }
}

impl fmt::Display for Failure {
    /// One line, whatever the causes had in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self
            .line
            .split(|c: char| c.is_whitespace() || c.is_control());
        let mut between = "";
        words
            .by_ref()
            .filter(|word| !word.is_empty())
            .try_for_each(|word| {
                write!(f, "{between}{word}")?;
                between = " ";
                Ok(())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_line_without_control_characters() {
        let failure = Failure::new("cannot read x:\n  \u{1b}[31mred\u{1b}[0m\tand so on\n");
        assert_eq!(failure.to_string(), "cannot read x: [31mred [0m and so on");
    }
}
