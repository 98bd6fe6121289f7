//! What every page knows of the request it answers: who asks, in which theme, and the token that its forms carry.
//!
//! [`enter`] wraps all routes of the dashboard. It opens the session, checks it against the store as it is now, and puts the
//! headers on the answer that hold for all pages.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, header};

use super::access::Visitor;
use super::cookie::{self, Cookies};
use super::error::{Mishap, PageError};
use super::form::FormToken;
use super::session::Session;
use super::{access, layout};
use crate::http::Api;

/// Scripts, styles and connections are our own; nothing inline, no frames, no plugins, no forms to elsewhere.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     worker-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// Light, dark, or as the system has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    Light,
    Dark,
    System,
}

impl Theme {
    /// The theme with this word; the system's for any other.
    pub(super) fn of(word: Option<&str>) -> Self {
        match word {
            Some("light") => Self::Light,
            Some("dark") => Self::Dark,
            _ => Self::System,
        }
    }

    /// The word used in cookies and pages.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
            Self::System => "system",
        }
    }

    /// The next one, for a button that goes through them.
    pub(super) const fn next(self) -> Self {
        match self {
            Self::System => Self::Dark,
            Self::Dark => Self::Light,
            Self::Light => Self::System,
        }
    }
}

/// What a page knows of its request. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Context(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    visitor: Option<Visitor>,
    theme: Theme,
    form_token: FormToken,
    /// Where a form that only changes how things look leads back to.
    here: String,
}

impl Context {
    pub(super) fn visitor(&self) -> Option<&Visitor> {
        self.0.visitor.as_ref()
    }

    pub(super) fn theme(&self) -> Theme {
        self.0.theme
    }

    pub(super) fn form_token(&self) -> &FormToken {
        &self.0.form_token
    }

    pub(super) fn here(&self) -> &str {
        &self.0.here
    }
}

impl<S: Sync> FromRequestParts<S> for Context {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        // Every route of the dashboard is behind `enter`.
        parts.extensions.get().cloned().ok_or(PageError::Internal)
    }
}

/// Opens the session of a request, and finishes the answer.
pub(super) async fn enter(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let secure = api.is_secure();
    let cookies = Cookies::of(request.headers(), secure);
    let theme = Theme::of(cookies.get(cookie::THEME));
    let now = api.now();
    let session = cookies
        .get(cookie::SESSION)
        .and_then(|sealed| Session::open(api.vault(), sealed, now));
    let visitor = match &session {
        Some(session) => access::visitor(&api, session.token()).await,
        None => Ok(None),
    };
    let (visitor, trouble) = match visitor {
        Ok(visitor) => (visitor, None),
        Err(error) => (None, Some(error)),
    };
    // Signed in, forms carry the session's own token; before that, one of a cookie that says nothing else.
    let known = match (&session, &visitor) {
        (Some(session), Some(_)) => Some(session.form_token().clone()),
        _ => cookies.get(cookie::FORM).and_then(FormToken::parse),
    };
    let is_new = known.is_none();
    let form_token = known.unwrap_or_else(FormToken::random);
    let context = Context(Arc::new(Inner {
        theme,
        here: here(&request),
        form_token: form_token.clone(),
        visitor,
    }));
    request.extensions_mut().insert(context.clone());

    let mut response = match trouble {
        Some(error) => error.into_response(),
        None => next.run(request).await,
    };
    if let Some(mishap) = response.extensions_mut().remove::<Mishap>() {
        response = layout::mishap(&context, &mishap);
    }
    let headers = response.headers_mut();
    finish(headers);
    if is_new {
        cookie::set(headers, cookie::FORM, form_token.as_str(), None, secure);
    }
    if let Some(session) =
        session.filter(|session| context.visitor().is_some() && session.is_old(now))
        && !headers.contains_key(header::SET_COOKIE)
        && let Some(sealed) = session.renewed(now).seal(api.vault())
    {
        cookie::set(
            headers,
            cookie::SESSION,
            &sealed,
            Some(Session::LIFE),
            secure,
        );
    }
    response
}

/// Where a page is, to be returned to; the start for what is not to be asked for again.
fn here(request: &Request) -> String {
    let uri = request.uri();
    match (request.method(), uri.path_and_query()) {
        (&Method::GET, Some(path)) => path.as_str().to_owned(),
        _ => "/".to_owned(),
    }
}

fn finish(headers: &mut HeaderMap) {
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("same-origin"),
        ),
        (
            header::HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, value);
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}
