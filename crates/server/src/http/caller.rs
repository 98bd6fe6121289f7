//! Who is calling: which official SDK, if it says so.
//!
//! The SDKs differ where Beams' documents leave room, and all but the web SDK name themselves in `X-Pusher-Library`. Only
//! answers that an SDK would otherwise choke on may depend on it, and each such place is in `docs/COMPATIBILITY.md`.
//! Nothing is ever allowed or forbidden because of it: anybody can send the header.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

/// The header that names an SDK and its version.
const LIBRARY: &str = "x-pusher-library";

/// The official SDKs whose ways matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// iOS and macOS.
    Swift,
    /// A server SDK that encodes path segments as forms are encoded: a space is a `+`.
    FormEncoding,
    /// Anybody else.
    Other,
}

impl Caller {
    fn of(library: &str) -> Self {
        match library.split_ascii_whitespace().next().unwrap_or_default() {
            "push-notifications-swift" => Self::Swift,
            "pusher-push-notifications-server-java"
            | "pusher-push-notifications-ruby"
            | "pusher-push-notifications-php" => Self::FormEncoding,
            _ => Self::Other,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let library = parts
            .headers
            .get(LIBRARY)
            .and_then(|value| value.to_str().ok());
        Ok(library.map_or(Self::Other, Self::of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sdks_by_name() {
        assert_eq!(Caller::of("push-notifications-swift 4.0.0"), Caller::Swift);
        assert_eq!(
            Caller::of("pusher-push-notifications-ruby 2.0.3"),
            Caller::FormEncoding
        );
        assert_eq!(
            Caller::of("pusher-push-notifications-go 1.1.1"),
            Caller::Other
        );
        assert_eq!(Caller::of(""), Caller::Other);
    }
}
