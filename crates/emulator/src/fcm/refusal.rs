//! Google's words for a refusal: the FCM error code, the RPC status, the JSON around them.
//!
//! Owns the table and the JSON; which word fits is decided by the checks. Invariant: a documented code has its
//! documented status unless somebody asked for another.

use std::borrow::Cow;

use http::StatusCode;
use serde_json::{Value, json};

use crate::http::status;
use crate::journal::Verdict;

const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// FCM error code, HTTP status, RPC status, message. Google's page "ErrorCode".
const CODES: &[(&str, u16, &str, &str)] = &[
    (
        "UNSPECIFIED_ERROR",
        500,
        "UNKNOWN",
        "No more information is available about this error.",
    ),
    (
        "INVALID_ARGUMENT",
        400,
        "INVALID_ARGUMENT",
        "Request contains an invalid argument.",
    ),
    (
        "UNREGISTERED",
        404,
        "NOT_FOUND",
        "Requested entity was not found.",
    ),
    (
        "SENDER_ID_MISMATCH",
        403,
        "PERMISSION_DENIED",
        "SenderId mismatch",
    ),
    (
        "QUOTA_EXCEEDED",
        429,
        "RESOURCE_EXHAUSTED",
        "Quota exceeded for quota metric 'Send requests'.",
    ),
    (
        "UNAVAILABLE",
        503,
        "UNAVAILABLE",
        "The service is currently unavailable.",
    ),
    ("INTERNAL", 500, "INTERNAL", "Internal error encountered."),
    (
        "THIRD_PARTY_AUTH_ERROR",
        401,
        "UNAUTHENTICATED",
        "Auth error from APNS or Web Push Service",
    ),
];

/// A refusal in Google's words.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) word: Cow<'static, str>,
    pub(super) body: String,
}

impl Refusal {
    fn build(
        code: u16,
        word: Cow<'static, str>,
        rpc: &str,
        message: &str,
        details: &Value,
    ) -> Self {
        let mut error = json!({ "code": code, "message": message, "status": rpc });
        if details
            .as_array()
            .is_some_and(|details| !details.is_empty())
        {
            error["details"] = details.clone();
        }
        let body = format!("{:#}\n", json!({ "error": error }));
        Self {
            status: status(code),
            word,
            body,
        }
    }

    /// A documented FCM error code.
    pub(super) fn of(word: &'static str) -> Self {
        Self::named(word, None)
    }

    /// A word from outside, with its documented status unless another is given.
    pub(super) fn named(word: &str, code: Option<u16>) -> Self {
        if word == "UNAUTHENTICATED" {
            return Self::unauthenticated();
        }
        let known = CODES.iter().find(|known| known.0 == word);
        let (_, documented, rpc, message) =
            known
                .copied()
                .unwrap_or(("", 400, "INVALID_ARGUMENT", "Refused on demand."));
        let details = json!([{ "@type": FCM_ERROR, "errorCode": word }]);
        let word = known.map_or_else(
            || Cow::Owned(word.to_owned()),
            |known| Cow::Borrowed(known.0),
        );
        Self::build(code.unwrap_or(documented), word, rpc, message, &details)
    }

    /// A value that is wrong: FCM's own complaint.
    pub(super) fn invalid(field: &str, problem: &str) -> Self {
        let details = json!([
            { "@type": FCM_ERROR, "errorCode": "INVALID_ARGUMENT" },
            { "@type": BAD_REQUEST, "fieldViolations": [{ "field": field, "description": problem }] },
        ]);
        Self::build(
            400,
            "INVALID_ARGUMENT".into(),
            "INVALID_ARGUMENT",
            problem,
            &details,
        )
    }

    /// A field or a type that the schema does not have: the complaint of Google's JSON parser.
    pub(super) fn schema(field: &str, problem: &str) -> Self {
        let problem = format!("Invalid JSON payload received. {problem}");
        let details = json!([
            { "@type": BAD_REQUEST, "fieldViolations": [{ "field": field, "description": problem }] },
        ]);
        Self::build(
            400,
            "INVALID_ARGUMENT".into(),
            "INVALID_ARGUMENT",
            &problem,
            &details,
        )
    }

    pub(super) fn not_json(problem: &str) -> Self {
        let message = format!("Invalid JSON payload received. {problem}");
        Self::build(
            400,
            "INVALID_ARGUMENT".into(),
            "INVALID_ARGUMENT",
            &message,
            &json!([]),
        )
    }

    pub(super) fn not_found(message: &str) -> Self {
        Self::build(404, "NOT_FOUND".into(), "NOT_FOUND", message, &json!([]))
    }

    pub(super) fn permission_denied(project: &str) -> Self {
        let message = format!(
            "Permission 'cloudmessaging.messages.create' denied on resource '//cloudresourcemanager.googleapis.com/projects/{project}' (or it may not exist)."
        );
        let details = json!([{ "@type": ERROR_INFO, "reason": "IAM_PERMISSION_DENIED", "domain": "iam.googleapis.com" }]);
        Self::build(
            403,
            "PERMISSION_DENIED".into(),
            "PERMISSION_DENIED",
            &message,
            &details,
        )
    }

    pub(super) fn unauthenticated() -> Self {
        let message = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.";
        let details = json!([{ "@type": ERROR_INFO, "reason": "ACCESS_TOKEN_EXPIRED", "domain": "googleapis.com" }]);
        Self::build(
            401,
            "UNAUTHENTICATED".into(),
            "UNAUTHENTICATED",
            message,
            &details,
        )
    }

    pub(super) fn verdict(&self) -> Verdict {
        match &*self.word {
            // The path was not that of a message: no token is said to be dead.
            "NOT_FOUND" => Verdict::Refused,
            _ => Verdict::of_status(self.status.as_u16()),
        }
    }
}
