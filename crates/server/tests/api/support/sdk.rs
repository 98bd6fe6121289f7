//! What the official SDKs put into their requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::beams_token;
use domain::user::UserId;
use serde_json::{Value, json};

use super::{Instance, NOW};

/// A Beams token as an app's backend signs it, good for a day.
pub(crate) fn beams_token(instance: &Instance, user: &str) -> String {
    let expires_at = NOW.after(beams_token::BEAMS_TOKEN_LIFE);
    let user = UserId::parse(user).unwrap();
    beams_token::sign(&instance.id, &instance.key, &user, expires_at).unwrap()
}

/// A token with these claims, whatever they are, signed with a secret key.
pub(crate) fn beams_token_of(key: &str, claims: &Value) -> String {
    let header = json!({"alg": "HS256", "typ": "JWT"});
    domain::jws::sign_hs256(key.as_bytes(), &header, claims).unwrap()
}

/// A browser's subscription as the web SDK sends it.
pub(crate) fn web_token(endpoint: &str) -> String {
    let subscription = json!({
        "endpoint": endpoint,
        "expirationTime": null,
        "keys": {
            // The example key pair and secret of RFC 8291 appendix A.
            "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "auth": "BTBZMqHH6r4Tts7J_aSIgg",
        },
    });
    STANDARD.encode(subscription.to_string())
}

/// The status after which an SDK does not repeat a request by itself, as its source says.
pub(crate) mod swift {
    /// Whether the Swift SDK 4.0.0 gives a job up (or has it done) with this answer, instead of repeating it for ever.
    pub(crate) fn ends(status: u16, description: &str) -> bool {
        matches!(status, 200..=299 | 400 | 401 | 403 | 404)
            || description == "Device could not be created"
    }
}

pub(crate) mod android {
    /// Whether the Android SDK 1.9.2 gives up (or has done) a PUT of a user with this answer, or makes a new device.
    pub(crate) fn ends_user(status: u16) -> bool {
        matches!(status, 200..=299 | 400 | 401 | 403 | 404 | 422)
    }

    /// The same for interests, metadata and the gateway token.
    pub(crate) fn ends_change(status: u16) -> bool {
        matches!(status, 200..=299 | 400 | 404)
    }

    /// The same for registering and deleting, where nothing but success ends it.
    pub(crate) fn ends_register_or_delete(status: u16) -> bool {
        matches!(status, 200..=299)
    }
}
