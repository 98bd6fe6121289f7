//! `heliostat man`: the manual pages, made of the same words as `--help`.

use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man;

use super::failure::Failure;
use super::output::print;

/// Print the manual page, or write one for every command.
///
/// Packages install them. To read one without: heliostat man | man -l -
#[derive(Debug, Args)]
pub(crate) struct Manual {
    /// A directory to write heliostat.1, heliostat-serve.1 and so on into; it must exist.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Manual {
    pub(crate) fn run(self, command: clap::Command) -> Result<(), Failure> {
        let command = command.disable_help_subcommand(true);
        let Some(folder) = self.out else {
            let mut page = Vec::new();
            Man::new(command)
                .render(&mut page)
                .map_err(|error| Failure::new(format!("cannot make the manual page: {error}")))?;
            return print(String::from_utf8_lossy(&page).trim_end());
        };
        clap_mangen::generate_to(command, &folder).map_err(|error| {
            Failure::new(format!(
                "cannot write manual pages into {}: {error}",
                folder.display()
            ))
        })
    }
}
