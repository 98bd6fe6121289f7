//! What became of one attempt to hand a delivery to its gateway, in our words.
//!
//! Each gateway translates its answers to an [`Outcome`] in its own `response.rs`; what an outcome leads to is
//! decided in `delivery/src/settle.rs` alone. The variants are the five things a sender can do next.

use std::borrow::Cow;
use std::time::Duration;

use crate::clock::Timestamp;

/// A short, stable, lower-case word for metrics, tallies and logs, such as `unregistered` or `payload_too_large`.
pub type Reason = Cow<'static, str>;

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The gateway took the delivery over. This says nothing of the device having seen it.
    Accepted,
    /// The gateway token addresses no device any more.
    TokenDead {
        /// Why the gateway says so.
        reason: Reason,
        /// Since when the token is dead, where the gateway tells (APNs 410). A device that registered the same token
        /// later than this is alive.
        since: Option<Timestamp>,
    },
    /// Not now; the same attempt may succeed later.
    Retry {
        /// Why the gateway, or the way to it, refused.
        reason: Reason,
        /// The least time that the gateway asks to wait (`Retry-After`), counted from the answer.
        after: Option<Duration>,
    },
    /// The gateway will never take this delivery, and neither the device nor the credential is to blame.
    Rejected {
        /// Why.
        reason: Reason,
    },
    /// The gateway refuses the instance's credential: no delivery of this instance through this gateway can succeed.
    CredentialBroken {
        /// What the gateway holds against the credential.
        reason: Reason,
    },
}

/// An [`Outcome`] without its reason, as tallies and metrics count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutcomeKind {
    /// [`Outcome::Accepted`].
    Accepted,
    /// [`Outcome::TokenDead`].
    TokenDead,
    /// [`Outcome::Retry`].
    Retry,
    /// [`Outcome::Rejected`].
    Rejected,
    /// [`Outcome::CredentialBroken`].
    CredentialBroken,
    /// Given up: the publish's time to live ended before a gateway took the delivery.
    Expired,
}

impl OutcomeKind {
    /// The word used in SQL, metrics and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::TokenDead => "token_dead",
            Self::Retry => "retry",
            Self::Rejected => "rejected",
            Self::CredentialBroken => "credential_broken",
            Self::Expired => "expired",
        }
    }

    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Accepted,
        Self::TokenDead,
        Self::Retry,
        Self::Rejected,
        Self::CredentialBroken,
        Self::Expired,
    ];

    /// The kind with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Outcome {
    /// A [`Outcome::Retry`] without a time asked for.
    pub fn retry(reason: impl Into<Reason>) -> Self {
        Self::Retry {
            reason: reason.into(),
            after: None,
        }
    }

    /// A [`Outcome::Rejected`].
    pub fn rejected(reason: impl Into<Reason>) -> Self {
        Self::Rejected {
            reason: reason.into(),
        }
    }

    /// A [`Outcome::TokenDead`] without a time.
    pub fn token_dead(reason: impl Into<Reason>) -> Self {
        Self::TokenDead {
            reason: reason.into(),
            since: None,
        }
    }

    /// A [`Outcome::CredentialBroken`].
    pub fn credential_broken(reason: impl Into<Reason>) -> Self {
        Self::CredentialBroken {
            reason: reason.into(),
        }
    }

    /// This outcome without its reason.
    pub const fn kind(&self) -> OutcomeKind {
        match self {
            Self::Accepted => OutcomeKind::Accepted,
            Self::TokenDead { .. } => OutcomeKind::TokenDead,
            Self::Retry { .. } => OutcomeKind::Retry,
            Self::Rejected { .. } => OutcomeKind::Rejected,
            Self::CredentialBroken { .. } => OutcomeKind::CredentialBroken,
        }
    }

    /// The reason, where there is one.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Accepted => None,
            Self::TokenDead { reason, .. }
            | Self::Retry { reason, .. }
            | Self::Rejected { reason }
            | Self::CredentialBroken { reason } => Some(reason),
        }
    }
}
