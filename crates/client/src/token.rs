//! Beams tokens, as a backend hands them out.

use std::fmt;

use domain::beams_token::{self, BEAMS_TOKEN_LIFE};
use domain::clock::Timestamp;
use domain::instance::{InstanceId, SecretKey};
use domain::user::UserId;
use serde::Serialize;

use crate::Error;

/// A signed Beams token: what lets a device bind to a user.
///
/// As JSON it is `{"token": "…"}`, which is what the client SDKs expect of an app's auth endpoint. It is a secret of the
/// user it was made for, so `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct BeamsToken {
    token: String,
}

impl BeamsToken {
    /// The token itself, a compact JWT.
    pub fn as_str(&self) -> &str {
        &self.token
    }
}

impl From<BeamsToken> for String {
    fn from(token: BeamsToken) -> Self {
        token.token
    }
}

impl fmt::Debug for BeamsToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BeamsToken(…)")
    }
}

pub(crate) fn sign(
    instance: &InstanceId,
    key: &SecretKey,
    user: &UserId,
    now: Timestamp,
) -> Result<BeamsToken, Error> {
    beams_token::sign(instance, key, user, now.after(BEAMS_TOKEN_LIFE))
        .map(|token| BeamsToken { token })
        .map_err(|_| Error::Signing)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::beams_token::BeamsTokenError;

    use super::*;

    #[test]
    fn lasts_a_day_and_names_the_user() {
        let instance = InstanceId::random();
        let key = SecretKey::random();
        let now = Timestamp::from_secs(1_800_000_000);
        let token = sign(&instance, &key, &UserId::parse("ålice").unwrap(), now).unwrap();
        let verify = |at| beams_token::verify(token.as_str(), &instance, [&key], "http://x", at);
        assert_eq!(verify(now).unwrap().as_str(), "ålice");
        let day = Duration::from_secs(24 * 60 * 60);
        assert!(verify(now.after(day).before(Duration::from_secs(1))).is_ok());
        let over = verify(now.after(day + Duration::from_secs(61)));
        assert_eq!(over.unwrap_err(), BeamsTokenError::Expired);
    }

    #[test]
    fn is_json_for_an_auth_endpoint_and_hidden_in_debug() {
        let token = BeamsToken {
            token: "a.b.c".into(),
        };
        assert_eq!(
            serde_json::to_string(&token).unwrap(),
            r#"{"token":"a.b.c"}"#
        );
        assert_eq!(format!("{token:?}"), "BeamsToken(…)");
    }
}
