//! What became of an input, in a word or a few: what the parser did with it, not whether that was right. `corpus.tsv` has the
//! verdict of every seed, so that a seed which stopped reaching its parser is noticed though nothing panics.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;
use std::sync::OnceLock;

/// Set to have the verdict of each input written.
const VARIABLE: &str = "HELIOSTAT_FUZZ_VERDICTS";

/// What became of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict(Cow<'static, str>);

impl Verdict {
    /// The parser took it.
    pub const TAKEN: Self = Self(Cow::Borrowed("taken"));
    /// The parser refused it.
    pub const REFUSED: Self = Self(Cow::Borrowed("refused"));
    /// No parser saw it: it is of no form that the target hands on.
    pub const UNREAD: Self = Self(Cow::Borrowed("unread"));

    /// In other words, without tabs and line ends.
    pub fn of(words: impl Into<Cow<'static, str>>) -> Self {
        Self(words.into())
    }

    /// Taken, or refused.
    pub const fn taken_if(taken: bool) -> Self {
        if taken { Self::TAKEN } else { Self::REFUSED }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Writes the verdict as a line for `scripts/fuzz`, where it asked for that.
pub fn tell(verdict: &Verdict) {
    static IS_ASKED: OnceLock<bool> = OnceLock::new();
    if *IS_ASKED.get_or_init(|| std::env::var_os(VARIABLE).is_some()) {
        // To where the fuzzer says which file it runs.
        let _ = writeln!(std::io::stderr(), "verdict: {verdict}");
    }
}
