//! How far a long command is: a bar on a terminal, a line now and then elsewhere. On stderr, so that what a command says is
//! not mixed with how it goes.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressStyle};

/// After how many things a line is written where there is no terminal.
const THINGS_PER_LINE: u64 = 100_000;
const WITH_END: &str = "{wide_bar} {percent:>3}%  {msg}  {eta} left";
const WITHOUT_END: &str = "{spinner} {msg}  {elapsed}";

/// How far it is.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    /// What is counted, such as lines.
    noun: &'static str,
    next_line: u64,
}

impl Progress {
    /// Begins. `length` is how much there is, in whatever unit [`Progress::at`] is told, where that is known.
    pub(crate) fn begin(noun: &'static str, length: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let (bar, template) = match length {
                Some(length) => (ProgressBar::new(length), WITH_END),
                None => (ProgressBar::new_spinner(), WITHOUT_END),
            };
            // A template that does not read leaves the library's own.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        Self {
            bar,
            noun,
            next_line: THINGS_PER_LINE,
        }
    }

    /// `count` things are done, which is `position` of the length.
    pub(crate) fn at(&mut self, count: u64, position: u64) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{count} {}", self.noun));
            bar.set_position(position);
        } else if count >= self.next_line {
            self.next_line = (count / THINGS_PER_LINE + 1) * THINGS_PER_LINE;
            self.say(format_args!("{count} {}", self.noun));
        }
    }

    /// Says something that has to be known, on a line of its own.
    pub(crate) fn say(&self, text: impl Display) {
        // If nobody reads it, there is nobody to tell.
        match &self.bar {
            Some(bar) => bar.suspend(|| drop(writeln!(std::io::stderr().lock(), "{text}"))),
            None => drop(writeln!(std::io::stderr().lock(), "{text}")),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
