//! Apple's words for a refusal, and the status that each comes with.
//!
//! Owns the table and the JSON body; which word fits is decided by the checks. Invariant: a documented word has its
//! documented status unless somebody asked for another.

use std::borrow::Cow;

use http::{HeaderValue, StatusCode};

use crate::http::status;
use crate::journal::Verdict;

/// Apple's table "Values for the APNs JSON reason key".
const STATUSES: &[(&str, u16)] = &[
    ("BadCollapseId", 400),
    ("BadDeviceToken", 400),
    ("BadExpirationDate", 400),
    ("BadMessageId", 400),
    ("BadPriority", 400),
    ("BadTopic", 400),
    ("DeviceTokenNotForTopic", 400),
    ("DuplicateHeaders", 400),
    ("IdleTimeout", 400),
    ("InvalidPushType", 400),
    ("MissingDeviceToken", 400),
    ("MissingTopic", 400),
    ("PayloadEmpty", 400),
    ("TopicDisallowed", 400),
    ("BadCertificate", 403),
    ("BadCertificateEnvironment", 403),
    ("BadEnvironmentKeyIdInToken", 403),
    ("ExpiredProviderToken", 403),
    ("Forbidden", 403),
    ("InvalidProviderToken", 403),
    ("MissingProviderToken", 403),
    ("UnrelatedKeyIdInToken", 403),
    ("BadPath", 404),
    ("MethodNotAllowed", 405),
    ("ExpiredToken", 410),
    ("Unregistered", 410),
    ("PayloadTooLarge", 413),
    ("TooManyProviderTokenUpdates", 429),
    ("TooManyRequests", 429),
    ("InternalServerError", 500),
    ("ServiceUnavailable", 503),
    ("Shutdown", 503),
];

/// A refusal in Apple's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) reason: Cow<'static, str>,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) retry_after: Option<HeaderValue>,
}

impl Refusal {
    /// With the word's documented status.
    pub(super) fn of(reason: &'static str) -> Self {
        Self::with(Cow::Borrowed(reason), None)
    }

    /// A word from outside; 400 for one that Apple does not know, unless a status is given.
    pub(super) fn named(reason: String, code: Option<u16>) -> Self {
        Self::with(Cow::Owned(reason), code)
    }

    fn with(reason: Cow<'static, str>, code: Option<u16>) -> Self {
        let documented = STATUSES
            .iter()
            .find(|(word, _)| *word == reason)
            .map(|(_, code)| *code);
        let status = status(code.or(documented).unwrap_or(400));
        Self {
            status,
            reason,
            timestamp_ms: None,
            retry_after: None,
        }
    }

    pub(super) fn body(&self) -> String {
        let mut body = serde_json::json!({ "reason": self.reason });
        if let Some(timestamp) = self.timestamp_ms {
            body["timestamp"] = timestamp.into();
        }
        body.to_string()
    }

    pub(super) fn verdict(&self) -> Verdict {
        match &*self.reason {
            "BadDeviceToken" | "DeviceTokenNotForTopic" => Verdict::Dead,
            "BadPath" => Verdict::Refused,
            _ => Verdict::of_status(self.status.as_u16()),
        }
    }
}
