//! What can go wrong, sorted by what a caller can do about it. No message shows a secret key, a token or a user id.

use std::time::Duration;

use domain::instance::{InvalidInstanceId, InvalidSecretKey};
use domain::publish::PublishError;
use domain::user::InvalidUserId;

/// Why something did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was given breaks a rule. Nothing was sent.
    #[error(transparent)]
    Validation(#[from] ValidationError),
    /// The server does not know the secret key or the admin token (401), or it does not go so far (403).
    #[error("the server does not accept the secret key or token: {0}")]
    Auth(#[source] Refusal),
    /// The server has no such instance (404).
    #[error("the server has no such instance: {0}")]
    InstanceNotFound(#[source] Refusal),
    /// Too many requests at once (429). Nothing was done; trying again later helps.
    #[error("too many requests: {refusal}")]
    TooManyRequests {
        /// How long the server asks to wait, where it says so in seconds.
        retry_after: Option<Duration>,
        /// What the server said.
        #[source]
        refusal: Refusal,
    },
    /// The server refuses the request for another reason (any other 4xx). Trying again does not help.
    #[error("the server refuses the request: {0}")]
    Refused(#[source] Refusal),
    /// The server failed (5xx). Whether it has done what it was asked is not known.
    #[error("the server failed: {0}")]
    Server(#[source] Refusal),
    /// No answer came: no connection, a certificate that is not trusted, a timeout. Unless
    /// [`Error::is_connect`] holds, whether the server has done what it was asked is not known.
    #[error("no answer from {server}: {}", reason(source))]
    Transport {
        /// Whom the request was for: scheme, host and port.
        server: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// An answer came that no Beams server gives. Perhaps something else listens there.
    #[error("unexpected answer with status {status}: {problem}")]
    UnexpectedAnswer {
        /// The HTTP status.
        status: u16,
        /// What is unexpected about it.
        problem: &'static str,
    },
    /// The cryptographic library failed to sign, out of memory or entropy.
    #[error("the Beams token could not be signed")]
    Signing,
    /// TLS could not be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl Error {
    /// Whether the connection itself failed, so that the server cannot have seen the request.
    pub fn is_connect(&self) -> bool {
        matches!(self, Self::Transport { source, .. } if source.is_connect())
    }
}

/// Which rule was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValidationError {
    /// The instance id is no UUID.
    #[error(transparent)]
    InstanceId(InvalidInstanceId),
    /// The secret key has a wrong length or characters.
    #[error(transparent)]
    SecretKey(InvalidSecretKey),
    /// The admin token has characters that none has.
    #[error("the admin token has characters that none has")]
    AdminToken,
    /// The base URL cannot be used.
    #[error("the base URL must be {0}")]
    BaseUrl(&'static str),
    /// An extra root is no PEM certificate.
    #[error("the extra root certificate cannot be used: {0}")]
    RootCertificate(String),
    /// The user id breaks its rules.
    #[error(transparent)]
    UserId(InvalidUserId),
    /// The user id is `.` or `..`, which no URL can name.
    #[error("a user whose id is `.` or `..` cannot be named in a URL")]
    DotUserId,
    /// The payload is no JSON object.
    #[error("the payload cannot be used: {0}")]
    Payload(String),
    /// The publish breaks a rule: its audience, its size, a field of its payload.
    #[error(transparent)]
    Publish(PublishError),
}

/// What the server said when it did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}: {description} (status {status})")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The kind of error in a few words.
    pub error: String,
    /// What is wrong.
    pub description: String,
}

/// The innermost cause says what happened; the layers above only say that something did.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".into();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
