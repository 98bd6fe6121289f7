//! Programs in a world of their own: with a command before theirs, in a folder that only they see.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::program::{PROGRAM, printed};

/// What the programs of a stage run in, if that is not simply this machine.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// The words before the program's name.
    pub(crate) prefix: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Where the database is, as the programs see it.
    pub(crate) folder: Option<PathBuf>,
}

impl Surroundings {
    /// The program with these words.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.prefix.split_first() {
            Some((first, more)) => {
                let mut command = Command::new(first);
                command.args(more).arg(PROGRAM);
                command
            }
            None => Command::new(PROGRAM),
        };
        command
            .args(arguments)
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command that manages, to its end. What it printed.
    pub(crate) fn manage(&self, arguments: &[&str]) -> String {
        printed(self.command(arguments), arguments)
    }
}
