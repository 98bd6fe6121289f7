//! Forms: bounded, and believed only from our own pages.
//!
//! A form is taken if it carries the token that only our page had (compared in constant time), and if the browser does not
//! say that another site sent it. A form that changes anything is taken only from somebody whose admin token may write.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use bytes::Bytes;
use http::{HeaderMap, header};
use maud::{Markup, html};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::context::Context;
use super::error::PageError;
use crate::http::Api;
use crate::http::extract::{read_body, room_of};

/// The largest form, in bytes: a publish at its largest, encoded, and a credential, fit with room.
const FORM_LENGTH_MAX: usize = 256 * 1024;
/// The field that carries the token.
pub(super) const TOKEN_FIELD: &str = "form_token";
/// How many bytes of randomness a token has.
const TOKEN_LENGTH: usize = 16;

/// What a form carries to prove that it is ours: 128 random bits, in hexadecimal.
#[derive(Clone, ZeroizeOnDrop)]
pub(super) struct FormToken(Zeroizing<String>);

impl fmt::Debug for FormToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FormToken(…)")
    }
}

impl FormToken {
    pub(super) fn random() -> Self {
        let bytes: [u8; TOKEN_LENGTH] = rand::random();
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(text.into())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_token =
            text.len() == 2 * TOKEN_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_token.then(|| Self(text.to_owned().into()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn matches(&self, given: &str) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), given.as_bytes()).is_ok()
    }

    /// The hidden field of a form.
    pub(super) fn field(&self) -> Markup {
        html! { input type="hidden" name=(TOKEN_FIELD) value=(self.as_str()); }
    }
}

/// A form that came from one of our pages.
///
/// `Debug` shows no values: they may be tokens and credentials.
pub(super) struct Form(Vec<(String, String)>);

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Form({} fields)", self.0.len())
    }
}

impl Form {
    /// The first value of a field, without spaces around it; an empty one counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.raw(name)
            .map(str::trim)
            .filter(|value| !value.is_empty())
    }

    /// The first value of a field as it is.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A field that must be there.
    pub(super) fn required(&self, name: &str, what: &str) -> Result<&str, PageError> {
        self.get(name)
            .ok_or_else(|| PageError::Input(format!("{what} is missing.")))
    }

    /// All values of a field.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, value)| known == name && !value.trim().is_empty())
            .map(|(_, value)| value.trim())
    }
}

impl FromRequest<Api> for Form {
    type Rejection = PageError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, PageError> {
        let (mut parts, body) = request.into_parts();
        let context = Context::from_request_parts(&mut parts, api).await?;
        if !is_form(&parts.headers) || is_from_elsewhere(&parts.headers) {
            return Err(PageError::Forged);
        }
        // Who is signed in has proved it.
        let room = room_of(&parts.extensions).filter(|_| context.visitor().is_none());
        let body: Bytes = read_body(body, FORM_LENGTH_MAX, room)
            .await
            .map_err(|_| PageError::Input("That is more than a form may carry.".to_owned()))?;
        let fields: Vec<(String, String)> =
            url::form_urlencoded::parse(&body).into_owned().collect();
        let form = Self(fields);
        if form
            .raw(TOKEN_FIELD)
            .is_some_and(|given| context.form_token().matches(given))
        {
            Ok(form)
        } else {
            Err(PageError::Forged)
        }
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let content = headers.get(header::CONTENT_TYPE);
    content
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"))
}

/// Browsers say where a request comes from (Fetch Metadata Request Headers, W3C); programs that are none need not.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && site != "none")
}
