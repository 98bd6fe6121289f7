//! Who may: server SDKs prove themselves with a secret key of the instance.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use delivery::instances::Instance;
use http::request::Parts;
use http::{HeaderMap, header};

use super::Api;
use super::error::ApiError;
use super::extract::{Segments, instance_id};

/// The instance of the path, which exists and whose secret key the request carries.
pub(crate) struct Authorized(pub(crate) Arc<Instance>);

impl FromRequestParts<Api> for Authorized {
    type Rejection = ApiError;

    /// Beams' order: first the instance, then whether there is a key at all (400), then whether it is right (401).
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let Segments(segments) =
            Segments::<Vec<(String, String)>>::from_request_parts(parts, api).await?;
        let named = segments.iter().find(|(name, _)| name == "instance");
        let (_, instance) = named.ok_or(ApiError::InstanceNotFound)?;
        let instance = api.instance(instance_id(instance)?).await?;
        let key = bearer(&parts.headers).ok_or(ApiError::NoSecretKey)?;
        if instance.accepts(key) {
            Ok(Self(instance))
        } else {
            Err(ApiError::IncorrectSecretKey)
        }
    }
}

/// What stands behind `Bearer` in the Authorization header; RFC 9110 section 11.1 lets the scheme be of any case.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, credentials) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    let credentials = credentials.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("Bearer") && !credentials.is_empty()).then_some(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn bearer_has_one_form() {
        let of = |value: &'static [u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::AUTHORIZATION,
                HeaderValue::from_bytes(value).unwrap(),
            );
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of(b"Bearer abc").as_deref(), Some("abc"));
        assert_eq!(of(b"bearer  abc ").as_deref(), Some("abc"));
        for bad in [
            &b"Bearer"[..],
            b"Bearer ",
            b"abc",
            b"Basic abc",
            b"Bearer \xff",
        ] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
