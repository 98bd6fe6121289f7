//! `heliostat completions`: what a shell needs to complete the command line.

use clap::Args;
use clap_complete::Shell;

use super::failure::Failure;
use super::output::print;

/// Print the completions of a shell.
///
/// Packages install them. By hand, for bash: heliostat completions bash > /etc/bash_completion.d/heliostat
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell to complete in.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, mut command: clap::Command) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "heliostat", &mut script);
        print(String::from_utf8_lossy(&script).trim_end())
    }
}
