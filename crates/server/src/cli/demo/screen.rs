//! What the demo shows: steps, requests with their answers, notifications. Coloured on a terminal only.

use std::cell::Cell;
use std::fmt::Display;
use std::io::IsTerminal as _;

use crate::cli::failure::Failure;
use crate::cli::output::print;

const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";
const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";
const PLAIN: &str = "\u{1b}[0m";

/// Where the demo writes.
#[derive(Debug)]
pub(super) struct Screen {
    coloured: bool,
    step: Cell<u32>,
}

impl Screen {
    /// The standard output.
    pub(super) fn new() -> Self {
        Self {
            coloured: std::io::stdout().is_terminal(),
            step: Cell::new(0),
        }
    }

    /// Begins a numbered step.
    pub(super) fn step(&self, what: impl Display) -> Result<(), Failure> {
        self.step.set(self.step.get() + 1);
        print(format_args!(
            "\n{} {}",
            self.paint(BOLD, format_args!("{}.", self.step.get())),
            self.paint(BOLD, what)
        ))
    }

    /// A line as it is.
    pub(super) fn text(&self, text: impl Display) -> Result<(), Failure> {
        print(text)
    }

    /// A fact with its name.
    pub(super) fn fact(&self, name: &str, what: impl Display) -> Result<(), Failure> {
        print(format_args!("   {name:18}{what}"))
    }

    /// A request, its body in short, and its answer.
    pub(super) fn request(
        &self,
        who: &str,
        request: &str,
        body: &str,
        answer: impl Display,
    ) -> Result<(), Failure> {
        print(format_args!("   {who:18}{request}"))?;
        if !body.is_empty() {
            print(format_args!("   {:18}{}", "", self.paint(DIM, body)))?;
        }
        print(format_args!(
            "   {:18}{} {answer}",
            "",
            self.paint(DIM, "->")
        ))
    }

    /// A notification that a gateway took.
    pub(super) fn arrived(&self, who: &str, what: impl Display) -> Result<(), Failure> {
        print(format_args!("   {} {who:16}{what}", self.paint(GREEN, "*")))
    }

    /// A notification that a gateway refused.
    pub(super) fn refused(&self, who: &str, what: impl Display) -> Result<(), Failure> {
        print(format_args!("   {} {who:16}{what}", self.paint(RED, "!")))
    }

    fn paint(&self, style: &str, text: impl Display) -> String {
        if self.coloured {
            format!("{style}{text}{PLAIN}")
        } else {
            text.to_string()
        }
    }
}
