//! Why something was not done. Sorted by what whoever asked can do about it; what status that is over HTTP is decided there.

use domain::seal::SealError;
use store::StoreError;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody is known by this token.
    #[error("the admin token is not known, was revoked, or has expired")]
    Unauthorized,
    /// The scope does not go so far.
    #[error("this takes an admin token {needed}")]
    Forbidden {
        /// What kind of token it takes.
        needed: &'static str,
    },
    /// The token is wrong, and too many wrong ones came of late.
    #[error("too many wrong admin tokens came of late; wait a minute")]
    TooManyFailures,
    /// There is no such instance.
    #[error("there is no such instance")]
    InstanceNotFound,
    /// Something else is not there.
    #[error("there is no such {what}")]
    NotFound {
        /// What it would be: `device`, `secret key`.
        what: &'static str,
    },
    /// An instance with this id exists.
    #[error("an instance {0} exists already")]
    InstanceExists(domain::instance::InstanceId),
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// What was given breaks a rule.
    #[error("`{field}`: {message}")]
    Field {
        /// Its name on the wire.
        field: &'static str,
        /// The rule.
        message: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// Sealing or opening a secret failed.
    #[error("a secret cannot be sealed or opened: {0}")]
    Seal(String),
}

impl AdminError {
    /// A rule that a field breaks.
    pub fn field(field: &'static str, rule: impl std::fmt::Display) -> Self {
        Self::Field {
            field,
            message: rule.to_string(),
        }
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UnknownInstance => Self::InstanceNotFound,
            other => Self::Store(other),
        }
    }
}

impl From<SealError> for AdminError {
    fn from(error: SealError) -> Self {
        Self::Seal(error.to_string())
    }
}
