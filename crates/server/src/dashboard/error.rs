//! What goes wrong on a page, and how it is said to a person.

use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use store::StoreError;

use super::instances::sentence;
use crate::admin::error::AdminError;
use crate::http::error::ApiError;

/// Why a page was not made.
#[derive(Debug)]
pub(super) enum PageError {
    /// Nobody is signed in; afterwards the visitor comes back to this path.
    SignIn(String),
    /// There is no such page, or not for this visitor.
    NotFound(&'static str),
    /// The visitor may look but not touch.
    ReadOnly,
    /// The form did not come from one of our pages, or the page is too old.
    Forged,
    /// The visitor gave something that breaks a rule; said in whole sentences.
    Input(String),
    /// What was asked for does not fit the state of things.
    Conflict(String),
    /// More is sent than may be; in how many seconds there is room again.
    TooOften(u64),
    /// Try again.
    Busy,
    /// The store is in trouble; its log has more.
    Unavailable,
    /// A mistake of ours.
    Internal,
}

/// What a page of trouble says. The layout is added by whoever knows the visitor.
#[derive(Debug, Clone)]
pub(super) struct Mishap {
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    pub(super) text: String,
}

impl PageError {
    fn mishap(self) -> Mishap {
        let (status, title, text) = match self {
            Self::SignIn(_) => (StatusCode::UNAUTHORIZED, "Please sign in", String::new()),
            Self::NotFound(what) => (
                StatusCode::NOT_FOUND,
                "Nothing here",
                format!("There is no such {what}, or your admin token does not reach it."),
            ),
            Self::ReadOnly => (
                StatusCode::FORBIDDEN,
                "Look, but do not touch",
                "Your admin token may read only. Sign in with one that may write to do this.".to_owned(),
            ),
            Self::Forged => (
                StatusCode::FORBIDDEN,
                "This form has expired",
                "It was not sent from a page of this session. Go back, reload the page and try again.".to_owned(),
            ),
            Self::Input(text) => (StatusCode::UNPROCESSABLE_ENTITY, "That does not work", text),
            Self::Conflict(text) => (StatusCode::CONFLICT, "Not now", text),
            Self::TooOften(secs) => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too fast",
                format!("This instance publishes as often as it may. Nothing was sent; try again in {secs} s."),
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Busy",
                "Too much is waiting at the moment. Try again.".to_owned(),
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The storage does not answer",
                "The server cannot read or write what it keeps. Its log says more; `heliostat doctor` checks it.".to_owned(),
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Our mistake",
                "The server made a mistake; its log has more.".to_owned(),
            ),
        };
        Mishap {
            status,
            title,
            text,
        }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        if let Self::SignIn(back) = &self {
            let next: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
            return Redirect::to(&format!("/sign-in?next={next}")).into_response();
        }
        let mishap = self.mishap();
        let mut response = mishap.status.into_response();
        response.extensions_mut().insert(mishap);
        response
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Busy,
            StoreError::UnknownInstance => Self::NotFound("instance"),
            StoreError::Unavailable(_) => {
                tracing::error!(%error, "the store failed a page");
                Self::Unavailable
            }
            _ => {
                tracing::error!(%error, "the store failed a page");
                Self::Internal
            }
        }
    }
}

impl From<ApiError> for PageError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::InstanceNotFound => Self::NotFound("instance"),
            ApiError::TooOften(too_often) => Self::TooOften(too_often.retry_after_secs()),
            ApiError::Busy => Self::Busy,
            ApiError::Unavailable => Self::Unavailable,
            ApiError::Internal => Self::Internal,
            other => Self::Input(other.to_string()),
        }
    }
}

impl From<AdminError> for PageError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Unauthorized => Self::SignIn("/".to_owned()),
            AdminError::Forbidden { .. } => Self::ReadOnly,
            AdminError::InstanceNotFound => Self::NotFound("instance"),
            AdminError::NotFound { what } => Self::NotFound(what),
            AdminError::Conflict(why) => Self::Conflict(sentence(&why)),
            AdminError::Store(error) => error.into(),
            AdminError::Seal(_) => {
                tracing::error!(%error, "a page could not be made");
                Self::Internal
            }
            other => Self::Input(sentence(&other)),
        }
    }
}
