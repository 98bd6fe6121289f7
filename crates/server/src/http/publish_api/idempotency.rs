//! The key by which a request may be sent again without being done again.

use axum::extract::FromRequestParts;
use domain::idempotency::IdempotencyKey;
use http::HeaderName;
use http::request::Parts;

use crate::http::error::ApiError;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The key of the request, if it has one.
pub(crate) struct Key(pub(crate) Option<IdempotencyKey>);

impl<S: Sync> FromRequestParts<S> for Key {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut given = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        match (given.next(), given.next()) {
            (None, _) => Ok(Self(None)),
            (Some(key), None) => IdempotencyKey::parse(key.as_bytes())
                .map(|key| Self(Some(key)))
                .map_err(|_| ApiError::BadIdempotencyKey),
            (Some(_), Some(_)) => Err(ApiError::BadIdempotencyKey),
        }
    }
}
