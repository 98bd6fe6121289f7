//! Doors for the fuzz targets to what is behind a TLS connection otherwise: how the answers of gateways are read.
//!
//! Only in builds with the feature `fuzzing`, which nothing that is shipped has.

use bytes::Bytes;
use domain::clock::Timestamp;
use domain::outcome::Outcome;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::http::{ANSWER_BODY_LENGTH_MAX, Answer};
use crate::{apns, fcm, webpush};

/// The longest wait that is honoured.
pub const RETRY_AFTER_MAX: std::time::Duration = crate::http::RETRY_AFTER_MAX;

/// An answer as the outbound client hands it on; `None` where no answer can have this status or header.
#[derive(Debug)]
pub struct Answered(Answer);

impl Answered {
    /// From its parts; what is over the client's limit of a body is cut off as there.
    pub fn new(status: u16, retry_after: Option<&[u8]>, body: &[u8]) -> Option<Self> {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_bytes(value).ok()?);
        }
        let body = &body[..body.len().min(ANSWER_BODY_LENGTH_MAX)];
        Some(Self(Answer {
            status: StatusCode::from_u16(status).ok()?,
            headers,
            body: Bytes::copy_from_slice(body),
        }))
    }

    /// What it means if both of Apple's gateways give it.
    pub fn apns(&self, now: Timestamp) -> Outcome {
        apns::outcome_of(&self.0, now)
    }

    /// What it means from FCM.
    pub fn fcm(&self, now: Timestamp) -> Outcome {
        fcm::outcome_of(&self.0, now)
    }

    /// What it means from Google's token endpoint: how long the access token holds, or what the lack of it means.
    ///
    /// # Errors
    /// What every delivery becomes that needs the token.
    pub fn token(&self, now: Timestamp) -> Result<std::time::Duration, Outcome> {
        fcm::token_lifetime_of(&self.0, now)
    }

    /// What it means from a Web Push service.
    pub fn web_push(&self, now: Timestamp) -> Outcome {
        webpush::outcome_of(&self.0, now)
    }
}
