//! Devices, their ids, their metadata, and the gateway tokens by which gateways address them.
//!
//! A gateway token is a secret: whoever has one (and the instance's credential) can notify the device. So `Debug` shows
//! none. All checks of form are made here, once, when a device registers.

mod subscription;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::instance::InstanceId;
use crate::user::UserOrdinal;

pub use subscription::WebPushSubscription;

/// The longest gateway token of any platform, in bytes.
pub const GATEWAY_TOKEN_LENGTH_MAX: usize = 4096;
/// The longest bundle identifier, in bytes. Apple: CFBundleIdentifier.
pub const BUNDLE_ID_LENGTH_MAX: usize = 155;
/// The longest metadata of a device, in bytes of JSON.
pub const DEVICE_METADATA_LENGTH_MAX: usize = 2048;

/// What kind of device it is, which decides the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// iOS, macOS and their kin, through APNs.
    Apns,
    /// Android, through FCM.
    Fcm,
    /// Browsers, through Web Push.
    Web,
}

impl Platform {
    /// Every platform.
    pub const ALL: [Self; 3] = [Self::Apns, Self::Fcm, Self::Web];

    /// The word used in URLs, JSON, SQL, metrics and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apns => "apns",
            Self::Fcm => "fcm",
            Self::Web => "web",
        }
    }

    /// The platform with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|platform| platform.as_str() == word)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The id of a device: `<platform>-<uuid>`. Random and unguessable, since it is all that a device proves itself with.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceId {
    platform: Platform,
    uuid: Uuid,
}

impl DeviceId {
    /// A new random id.
    pub fn random(platform: Platform) -> Self {
        Self {
            platform,
            uuid: Uuid::new_v4(),
        }
    }

    /// The id that a store kept.
    pub const fn from_parts(platform: Platform, uuid: Uuid) -> Self {
        Self { platform, uuid }
    }

    /// Checks an id. `None` is a string that no device has as its id.
    pub fn parse(id: &str) -> Option<Self> {
        let (platform, uuid) = id.split_once('-')?;
        let platform = Platform::parse(platform)?;
        let uuid = (uuid.len() == 36)
            .then(|| Uuid::try_parse(uuid).ok())
            .flatten()?;
        Some(Self { platform, uuid })
    }

    /// The platform of the device.
    pub const fn platform(&self) -> Platform {
        self.platform
    }

    /// The random part.
    pub const fn uuid(&self) -> &Uuid {
        &self.uuid
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.platform, self.uuid.as_hyphenated())
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The number of a device inside a store: ascending in the order of first registration, unique across instances.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct DeviceOrdinal(pub i64);

/// A bundle identifier of an Apple app, which becomes the `apns-topic`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BundleId(Box<str>);

impl BundleId {
    /// Checks a bundle identifier: 1 to 155 letters, digits, `.`, `-` and `_` (the Swift SDK sends `missing-bundle-id`
    /// where an app has none).
    pub fn parse(id: &str) -> Result<Self, InvalidDevice> {
        let fine = (1..=BUNDLE_ID_LENGTH_MAX).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
        if fine {
            Ok(Self(id.into()))
        } else {
            Err(InvalidDevice::BundleId)
        }
    }

    /// The identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which of Apple's two gateways knows a token. Nothing on the wire tells, so it is found by trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ApnsEnvironment {
    /// Apps from the App Store and TestFlight. Tried first.
    #[default]
    Production,
    /// Apps run from Xcode.
    Sandbox,
}

/// What a gateway addresses a device by.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum GatewayToken {
    /// An APNs device token: lower-case hexadecimal.
    Apns(Box<str>),
    /// An FCM registration token.
    Fcm(Box<str>),
    /// A browser's push subscription.
    Web(Box<WebPushSubscription>),
}

/// Why a registration cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDevice {
    /// The APNs token is no hexadecimal.
    #[error(
        "the device token must be hexadecimal, of 2 to {GATEWAY_TOKEN_LENGTH_MAX} digits and an even number of them"
    )]
    ApnsToken,
    /// The FCM token has the wrong length or characters.
    #[error("the device token must have 1 to {GATEWAY_TOKEN_LENGTH_MAX} visible ASCII characters")]
    FcmToken,
    /// The web token is no base64 of a push subscription.
    #[error("the device token must be base64 of a JSON push subscription: {0}")]
    WebToken(String),
    /// The bundle identifier has the wrong length or characters.
    #[error(
        "`bundleIdentifier` must have 1 to {BUNDLE_ID_LENGTH_MAX} letters, digits, dots, hyphens and underscores"
    )]
    BundleId,
    /// The metadata is no object, or too large.
    #[error("`metadata` must be a JSON object of at most {DEVICE_METADATA_LENGTH_MAX} bytes")]
    Metadata,
}

impl GatewayToken {
    /// Checks a token as the platform's client SDK sends it.
    pub fn parse(platform: Platform, token: &str) -> Result<Self, InvalidDevice> {
        match platform {
            // Apple asks not to rely on 32 bytes; the official suite registers shorter and longer ones.
            Platform::Apns => {
                let fine = (2..=GATEWAY_TOKEN_LENGTH_MAX).contains(&token.len())
                    && token.len().is_multiple_of(2)
                    && token.bytes().all(|b| b.is_ascii_hexdigit());
                if fine {
                    Ok(Self::Apns(token.to_ascii_lowercase().into()))
                } else {
                    Err(InvalidDevice::ApnsToken)
                }
            }
            Platform::Fcm => {
                let fine = (1..=GATEWAY_TOKEN_LENGTH_MAX).contains(&token.len())
                    && token.bytes().all(|b| b.is_ascii_graphic());
                if fine {
                    Ok(Self::Fcm(token.into()))
                } else {
                    Err(InvalidDevice::FcmToken)
                }
            }
            Platform::Web => {
                if token.len() > GATEWAY_TOKEN_LENGTH_MAX {
                    return Err(InvalidDevice::WebToken(format!(
                        "over {GATEWAY_TOKEN_LENGTH_MAX} bytes"
                    )));
                }
                let json = STANDARD
                    .decode(token)
                    .map_err(|_| InvalidDevice::WebToken("not base64".into()))?;
                Ok(Self::Web(Box::new(WebPushSubscription::from_json(&json)?)))
            }
        }
    }

    /// The platform whose gateway understands this token.
    pub const fn platform(&self) -> Platform {
        match self {
            Self::Apns(_) => Platform::Apns,
            Self::Fcm(_) => Platform::Fcm,
            Self::Web(_) => Platform::Web,
        }
    }

    /// What makes two registrations the same device: the token, or a subscription's endpoint. Keys of a subscription may
    /// change under the same endpoint, and browsers order the JSON as they like.
    pub fn identity(&self) -> &str {
        match self {
            Self::Apns(token) | Self::Fcm(token) => token,
            Self::Web(subscription) => subscription.endpoint(),
        }
    }

    /// The rest of the token, where there is one: a subscription's `p256dh` point and `auth` secret, 81 bytes.
    pub fn keys(&self) -> Option<[u8; WebPushSubscription::KEYS_LENGTH]> {
        match self {
            Self::Apns(_) | Self::Fcm(_) => None,
            Self::Web(subscription) => Some(*subscription.keys()),
        }
    }

    /// Puts together what [`GatewayToken::identity`] and [`GatewayToken::keys`] took apart, as a store keeps it.
    /// `None` where the parts do not fit.
    pub fn from_parts(platform: Platform, identity: &str, keys: Option<&[u8]>) -> Option<Self> {
        match platform {
            Platform::Apns => Some(Self::Apns(identity.into())),
            Platform::Fcm => Some(Self::Fcm(identity.into())),
            Platform::Web => {
                let keys = keys?.try_into().ok()?;
                Some(Self::Web(Box::new(WebPushSubscription::from_parts(
                    identity, keys,
                ))))
            }
        }
    }
}

impl fmt::Debug for GatewayToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatewayToken({}…)", self.platform())
    }
}

/// What a client SDK tells of its device (`sdkVersion`, `iosVersion`, …): a small JSON object, kept as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceMetadata(String);

impl DeviceMetadata {
    /// Checks metadata: a JSON object of at most 2048 bytes once written compactly.
    pub fn parse(value: &serde_json::Value) -> Result<Self, InvalidDevice> {
        let text = value.to_string();
        if value.is_object() && text.len() <= DEVICE_METADATA_LENGTH_MAX {
            Ok(Self(text))
        } else {
            Err(InvalidDevice::Metadata)
        }
    }

    /// What a store kept of [`DeviceMetadata::as_json`].
    pub fn from_stored(json: String) -> Self {
        Self(json)
    }

    /// The object, as JSON.
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl Default for DeviceMetadata {
    fn default() -> Self {
        Self("{}".into())
    }
}

/// A device as somebody registers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Whose device it is.
    pub instance: InstanceId,
    /// What its gateway addresses it by.
    pub token: GatewayToken,
    /// The app on the device; APNs only.
    pub bundle_id: Option<BundleId>,
    /// What the SDK tells of the device.
    pub metadata: DeviceMetadata,
}

/// A device as a delivery needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Which device, inside the store.
    pub device: DeviceOrdinal,
    /// What its gateway addresses it by.
    pub token: GatewayToken,
    /// The app on the device; APNs only.
    pub bundle_id: Option<BundleId>,
    /// Which of Apple's gateways took the token last; APNs only.
    pub environment: ApnsEnvironment,
    /// When the device registered this token last. A gateway's word that the token died earlier than this is outdated.
    pub registered_at: Timestamp,
    /// Whose device it is, where the publish is to users; `None` where it is not, whoever has the device.
    pub user: Option<UserOrdinal>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    // The receiver of RFC 8291 appendix A.
    const P256DH: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    fn web(endpoint: &str, p256dh: &str, auth: &str) -> Result<GatewayToken, InvalidDevice> {
        let json = serde_json::json!({"endpoint": endpoint, "expirationTime": null, "keys": {"p256dh": p256dh, "auth": auth}});
        GatewayToken::parse(Platform::Web, &STANDARD.encode(json.to_string()))
    }

    #[test]
    fn a_subscription_is_read_and_normalised() {
        let token = web(
            "https://Push.Example.com:443/a?b#c",
            P256DH,
            &format!("{AUTH}=="),
        )
        .unwrap();
        let GatewayToken::Web(subscription) = &token else {
            panic!("{token:?}")
        };
        assert_eq!(subscription.endpoint(), "https://push.example.com/a?b");
        assert_eq!(subscription.origin(), "https://push.example.com");
        assert_eq!(subscription.p256dh().len(), 65);
        assert_eq!(subscription.auth().len(), 16);
        let again = GatewayToken::from_parts(
            Platform::Web,
            token.identity(),
            token.keys().as_ref().map(|k| &k[..]),
        );
        assert_eq!(again.as_ref(), Some(&token));
        assert!(!format!("{token:?}").contains("a?b"));
    }

    #[test]
    fn a_bad_subscription_is_refused() {
        let off_curve = URL_SAFE_NO_PAD.encode([4u8; 65]);
        for (endpoint, p256dh, auth) in [
            ("http://push.example.com/a", P256DH, AUTH),
            ("https://user@push.example.com/a", P256DH, AUTH),
            ("https:///a", P256DH, "AAAA"),
            ("ftp://push.example.com/a", P256DH, AUTH),
            ("nothing", P256DH, AUTH),
            ("https://push.example.com/a", "AAAA", AUTH),
            ("https://push.example.com/a", &off_curve, AUTH),
            ("https://push.example.com/a", P256DH, "AAAA"),
        ] {
            assert!(
                web(endpoint, p256dh, auth).is_err(),
                "{endpoint} {p256dh} {auth}"
            );
        }
        assert!(GatewayToken::parse(Platform::Web, "{}").is_err());
        assert!(GatewayToken::parse(Platform::Web, &STANDARD.encode("{}")).is_err());
    }

    #[test]
    fn tokens_of_apps() {
        assert_eq!(
            GatewayToken::parse(Platform::Apns, "ABCD")
                .unwrap()
                .identity(),
            "abcd"
        );
        for bad in ["", "abc", "xyzw", "ab cd"] {
            assert_eq!(
                GatewayToken::parse(Platform::Apns, bad),
                Err(InvalidDevice::ApnsToken),
                "{bad}"
            );
        }
        assert!(GatewayToken::parse(Platform::Fcm, "a:b-c_d").is_ok());
        for bad in ["", "a b", "ä"] {
            assert_eq!(
                GatewayToken::parse(Platform::Fcm, bad),
                Err(InvalidDevice::FcmToken),
                "{bad}"
            );
        }
    }

    #[test]
    fn metadata_is_a_small_object() {
        assert!(DeviceMetadata::parse(&serde_json::json!({"sdkVersion": "4.0.0"})).is_ok());
        assert!(DeviceMetadata::parse(&serde_json::json!(["x"])).is_err());
        assert!(DeviceMetadata::parse(&serde_json::json!({"x": "y".repeat(3000)})).is_err());
    }

    proptest! {
        #[test]
        fn an_id_reads_back(bytes: [u8; 16], platform in 0usize..3) {
            let id = DeviceId::from_parts(Platform::ALL[platform], Uuid::from_bytes(bytes));
            prop_assert_eq!(DeviceId::parse(&id.to_string()), Some(id));
        }

        #[test]
        fn nothing_from_outside_panics(text in "\\PC{0,200}", platform in 0usize..3) {
            let _ = DeviceId::parse(&text);
            let _ = GatewayToken::parse(Platform::ALL[platform], &text);
            let _ = WebPushSubscription::from_json(text.as_bytes());
        }
    }
}
