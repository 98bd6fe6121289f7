//! What goes wrong over HTTP, and the one place where statuses are chosen.
//!
//! Every answer that is no success has a JSON body with a non-empty `error` and `description` and a newline behind it: one
//! official SDK crashes on an empty body, another on one that is no JSON. The statuses follow Beams' documents, except
//! where an SDK would retry such a status for ever; `docs/COMPATIBILITY.md` says where and why.

use crate::admin::error::AdminError;
use axum::response::{IntoResponse, Response};
use domain::beams_token::BeamsTokenError;
use domain::device::InvalidDevice;
use domain::idempotency::IDEMPOTENCY_KEY_LENGTH_MAX;
use domain::interest::{INTERESTS_PER_DEVICE_MAX, InvalidInterestName};
use domain::publish::{InvalidPublish, PublishError};
use domain::user::{DEVICES_PER_USER_AND_PLATFORM_MAX, InvalidUserId, USER_ID_LENGTH_MAX};
use http::{HeaderValue, StatusCode, header};
use store::StoreError;

use crate::limits::TooOften;

/// How long a caller is asked to wait before another attempt, in seconds.
const RETRY_AFTER_SECS: &str = "1";

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("there is nothing at this path")]
    RouteNotFound,
    #[error("this path does not take this method")]
    MethodNotAllowed,
    // The texts of these two are what Beams' own servers answer.
    #[error("Could not find the instance")]
    InstanceNotFound,
    #[error("Incorrect Secret Key")]
    IncorrectSecretKey,
    #[error("Could not find the device")]
    DeviceNotFound,
    #[error("the path is not UTF-8 once percent-decoded")]
    BadPath,
    #[error("the Content-Type must be application/json")]
    NotJsonContent,
    #[error("the body is too large, it may have {max} bytes")]
    BodyTooLarge { max: usize },
    #[error("the body broke off or could not be read")]
    BodyBroken,
    #[error("the body is not a JSON object")]
    NotAnObject,
    #[error("`{field}`: {message}")]
    Field {
        field: &'static str,
        message: String,
    },
    #[error("line {number}: {message}")]
    Line { number: u64, message: String },
    #[error("`{0}` given is not valid")]
    Query(&'static str),
    #[error("`limit` has to be a number from 1 to {max}")]
    Limit { max: usize },
    #[error("the Authorization header is missing or has not the form `Bearer <secret key>`")]
    NoSecretKey,
    #[error("the Authorization header is missing or has not the form `Bearer <Beams token>`")]
    NoBeamsToken,
    #[error("the Authorization header is missing or has not the form `Bearer <admin token>`")]
    NoAdminToken,
    #[error(transparent)]
    Admin(AdminError),
    #[error(transparent)]
    BeamsToken(#[from] BeamsTokenError),
    #[error(transparent)]
    Device(#[from] InvalidDevice),
    #[error("`token`: the endpoint of this push subscription is not one that this server sends to")]
    EndpointRefused,
    #[error(transparent)]
    Interest(#[from] InvalidInterestName),
    #[error("a device has at most {INTERESTS_PER_DEVICE_MAX} interests")]
    TooManyInterests,
    #[error(transparent)]
    Publish(#[from] InvalidPublish),
    #[error("Could not find the publish")]
    PublishNotFound,
    #[error("the publish has finished; there is nothing left to cancel")]
    PublishFinished,
    #[error("the publish has not finished, so not all that fails is known; cancel it or wait")]
    PublishUnfinished,
    #[error("the publish was not to be sent after its `expiresAt`, which is past")]
    PublishExpired,
    #[error(
        "the Idempotency-Key must be one, of 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} visible ASCII characters"
    )]
    BadIdempotencyKey,
    #[error("the Idempotency-Key was used for another request within a day")]
    KeyReused,
    #[error("'User id' is too long, max length is {USER_ID_LENGTH_MAX}")]
    UserIdTooLong,
    #[error("'User id': {0}")]
    UserId(InvalidUserId),
    #[error("the device belongs to another user already; it must be stopped first")]
    BoundToAnotherUser,
    #[error(
        "the user has {DEVICES_PER_USER_AND_PLATFORM_MAX} devices of this platform already, and may not have more"
    )]
    TooManyDevices {
        /// Whether the caller repeats a 422 for ever.
        retried_if_unprocessable: bool,
    },
    // The Swift SDK gives up at these very words, and repeats any other 402 for ever.
    #[error("Device could not be created")]
    InstanceFull,
    #[error("too often; try again in {} s", .0.retry_after_secs())]
    TooOften(TooOften),
    #[error("the URL is too long, it may have {max} bytes")]
    UrlTooLong { max: usize },
    #[error("the body is nested too deep, values may be nested {max} deep")]
    TooDeep { max: usize },
    #[error("the Forwarded header cannot be read (RFC 7239)")]
    Forwarded,
    #[error("the request took too long")]
    TooSlow,
    #[error("too much is waiting; try again")]
    Busy,
    #[error("the server cannot read or write what it keeps; try again later")]
    Unavailable,
    #[error("the server is not ready: {0}")]
    NotReady(&'static str),
    #[error("the server made a mistake; its log has more")]
    Internal,
}

impl ApiError {
    /// A rule that a field of the body breaks.
    pub(crate) fn field(field: &'static str, message: impl Into<String>) -> Self {
        Self::Field {
            field,
            message: message.into(),
        }
    }

    /// A rule that a line of the body breaks.
    pub(crate) fn line(number: u64, message: impl Into<String>) -> Self {
        Self::Line {
            number,
            message: message.into(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::RouteNotFound
            | Self::InstanceNotFound
            | Self::DeviceNotFound
            | Self::PublishNotFound => StatusCode::NOT_FOUND,
            Self::PublishFinished | Self::PublishUnfinished | Self::PublishExpired => {
                StatusCode::CONFLICT
            }
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::IncorrectSecretKey | Self::NoBeamsToken | Self::NoAdminToken => {
                StatusCode::UNAUTHORIZED
            }
            Self::Admin(error) => admin_status(error),
            Self::BeamsToken(error) => beams_token_status(error),
            // Too large is 400, not 413: Beams documents it so, and mobile SDKs repeat a 413 for ever.
            Self::BadPath
            | Self::UrlTooLong { .. }
            | Self::TooDeep { .. }
            | Self::Forwarded
            | Self::NotJsonContent
            | Self::BodyTooLarge { .. }
            | Self::BodyBroken
            | Self::NotAnObject
            | Self::Field { .. }
            | Self::Query(_)
            | Self::Limit { .. }
            | Self::BadIdempotencyKey
            | Self::NoSecretKey
            | Self::Device(_)
            | Self::EndpointRefused
            | Self::Interest(_)
            | Self::TooManyInterests
            | Self::UserIdTooLong
            | Self::UserId(_)
            | Self::BoundToAnotherUser => StatusCode::BAD_REQUEST,
            Self::TooManyDevices {
                retried_if_unprocessable,
            } if *retried_if_unprocessable => StatusCode::BAD_REQUEST,
            Self::TooManyDevices { .. }
            | Self::Publish(_)
            | Self::Line { .. }
            | Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::InstanceFull => StatusCode::PAYMENT_REQUIRED,
            Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::TooSlow | Self::Busy | Self::Unavailable | Self::NotReady(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The short text. Beams' own servers write "Bad Request" for a publish that breaks a rule and "Bad request" for
    /// everything else; both are kept.
    fn error(&self) -> &'static str {
        match self {
            Self::InstanceNotFound => "Instance not found",
            Self::DeviceNotFound => "Device not found",
            Self::PublishNotFound => "Publish not found",
            Self::Publish(_) | Self::Line { .. } => "Bad Request",
            Self::InstanceFull => "Too many devices",
            other => match other.status() {
                StatusCode::BAD_REQUEST => "Bad request",
                StatusCode::UNAUTHORIZED => "Unauthorized",
                StatusCode::FORBIDDEN => "Forbidden",
                StatusCode::NOT_FOUND => "Not found",
                StatusCode::METHOD_NOT_ALLOWED => "Method not allowed",
                StatusCode::CONFLICT => "Conflict",
                StatusCode::UNPROCESSABLE_ENTITY => "Unprocessable entity",
                StatusCode::TOO_MANY_REQUESTS => "Too many requests",
                StatusCode::SERVICE_UNAVAILABLE => "Service unavailable",
                _ => "Internal server error",
            },
        }
    }
}

fn admin_status(error: &AdminError) -> StatusCode {
    match error {
        AdminError::Unauthorized => StatusCode::UNAUTHORIZED,
        AdminError::Forbidden { .. } => StatusCode::FORBIDDEN,
        AdminError::TooManyFailures => StatusCode::TOO_MANY_REQUESTS,
        AdminError::InstanceNotFound | AdminError::NotFound { .. } => StatusCode::NOT_FOUND,
        AdminError::InstanceExists(_) | AdminError::Conflict(_) => StatusCode::CONFLICT,
        AdminError::Field { .. } => StatusCode::BAD_REQUEST,
        // Turned into others when they become an `ApiError`.
        AdminError::Store(_) | AdminError::Seal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn beams_token_status(error: &BeamsTokenError) -> StatusCode {
    match error {
        BeamsTokenError::BadClaims | BeamsTokenError::BadUser(_) => StatusCode::BAD_REQUEST,
        BeamsTokenError::WrongIssuer => StatusCode::FORBIDDEN,
        BeamsTokenError::Malformed
        | BeamsTokenError::WrongAlgorithm
        | BeamsTokenError::BadSignature
        | BeamsTokenError::Expired => StatusCode::UNAUTHORIZED,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        // Written by hand to keep Beams' order of the two; both are escaped as JSON is.
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let (error, description) = (text(self.error()), text(&self.to_string()));
        let body = format!("{{\"error\":{error},\"description\":{description}}}\n");
        let json = HeaderValue::from_static("application/json");
        let mut response = (status, [(header::CONTENT_TYPE, json)], body).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let wait = HeaderValue::from_static(RETRY_AFTER_SECS);
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        if let Self::TooOften(too_often) = &self {
            let wait = HeaderValue::from(too_often.retry_after_secs());
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 15.5.2 wants to know how; browsers show no dialogue for this scheme.
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// Storage trouble is logged here, once, since the caller is told nothing of it.
impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Busy,
            StoreError::Unavailable(_) => {
                tracing::error!(%error, "the store failed a request");
                Self::Unavailable
            }
            StoreError::UnknownInstance => Self::InstanceNotFound,
            StoreError::InstanceFull => Self::InstanceFull,
            // As for a store that cannot be reached: SDKs repeat it, and it is over once somebody has mended it.
            StoreError::Corrupt(_) => {
                tracing::error!(
                    %error,
                    "what was asked for cannot be read: `heliostat backup` tells how far the damage goes, docs/OPERATIONS.md what to do"
                );
                Self::Unavailable
            }
            StoreError::InstanceExists => {
                tracing::error!(%error, "the store failed a request");
                Self::Internal
            }
        }
    }
}

/// What the caller is told nothing of is logged here, once.
impl From<AdminError> for ApiError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::InstanceNotFound => Self::InstanceNotFound,
            AdminError::Store(error) => error.into(),
            AdminError::Seal(error) => {
                tracing::error!(error, "a secret cannot be sealed or opened");
                Self::Internal
            }
            other => Self::Admin(other),
        }
    }
}

impl From<PublishError> for ApiError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::NotAnObject => Self::NotAnObject,
            PublishError::TooLarge { max } => Self::BodyTooLarge { max },
            PublishError::Invalid(invalid) => Self::Publish(invalid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_texts() {
        let shown = |error: ApiError| (error.status().as_u16(), error.error(), error.to_string());
        assert_eq!(
            shown(ApiError::IncorrectSecretKey),
            (401, "Unauthorized", "Incorrect Secret Key".into())
        );
        assert_eq!(
            shown(ApiError::InstanceNotFound),
            (
                404,
                "Instance not found",
                "Could not find the instance".into()
            )
        );
        assert_eq!(
            shown(ApiError::UserIdTooLong),
            (
                400,
                "Bad request",
                "'User id' is too long, max length is 164".into()
            )
        );
        assert_eq!(
            shown(ApiError::InstanceFull),
            (
                402,
                "Too many devices",
                "Device could not be created".into()
            )
        );
        assert_eq!(
            shown(ApiError::Query("limit")),
            (400, "Bad request", "`limit` given is not valid".into())
        );
    }

    #[test]
    fn a_full_user_never_makes_an_sdk_repeat_itself_for_ever() {
        let status = |retried_if_unprocessable| {
            ApiError::TooManyDevices {
                retried_if_unprocessable,
            }
            .status()
            .as_u16()
        };
        assert_eq!((status(true), status(false)), (400, 422));
    }
}
