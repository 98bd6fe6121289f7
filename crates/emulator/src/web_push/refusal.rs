//! How the Web Push service refuses: a status, which RFC 8030 gives meaning, and a JSON body for people.
//!
//! Owns the body. The words in it are the emulator's own. Invariant: a sender that goes by the status alone misses
//! nothing.

use std::borrow::Cow;

use http::StatusCode;

use crate::http::status;
use crate::journal::Verdict;

/// A refusal. The words are the emulator's own; senders must go by the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) word: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn of(code: u16, word: &'static str) -> Self {
        Self {
            status: status(code),
            word: word.into(),
        }
    }

    pub(super) fn named(code: u16, word: String) -> Self {
        Self {
            status: status(code),
            word: word.into(),
        }
    }

    pub(super) fn body(&self) -> String {
        let error = self.status.canonical_reason().unwrap_or("");
        serde_json::json!({ "code": self.status.as_u16(), "error": error, "message": self.word })
            .to_string()
    }

    pub(super) fn verdict(&self) -> Verdict {
        Verdict::of_status(self.status.as_u16())
    }
}
