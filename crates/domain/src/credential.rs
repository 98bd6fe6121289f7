//! What an instance shows to a gateway to be let in.
//!
//! Credentials are checked whole when they are set, so that a wrong file is told to the person who holds it rather than to
//! the log at the first publish. They leave this process only sealed (see `seal`).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::device::Platform;
use crate::jws::{Es256Key, InvalidKey, Rs256Key};

/// Why a credential cannot be used. One clear line for the person who set it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredential {
    /// Apple's ids have ten letters and digits.
    #[error("the {what} has 10 upper-case letters and digits, as Apple's developer pages show it")]
    AppleId {
        /// `key id` or `team id`.
        what: &'static str,
    },
    /// The key file cannot be used.
    #[error("the key file cannot be used: {0}")]
    Key(#[from] InvalidKey),
    /// The service-account file is no JSON object with the fields wanted.
    #[error("the service-account file cannot be used: {0}")]
    ServiceAccount(String),
}

/// An APNs authentication key. Apple: Establishing a token-based connection to APNs.
#[derive(zeroize::ZeroizeOnDrop)]
pub struct ApnsCredential {
    /// The key's id, ten characters.
    key_id: String,
    /// The developer team's id, ten characters.
    team_id: String,
    /// The file as it was given.
    pem: zeroize::Zeroizing<String>,
    key: Es256Key,
}

#[derive(Serialize, Deserialize)]
struct ApnsStored {
    key_id: String,
    team_id: String,
    pem: zeroize::Zeroizing<String>,
}

impl ApnsCredential {
    /// Checks a key file with its ids.
    pub fn parse(key_id: &str, team_id: &str, pem: &str) -> Result<Self, InvalidCredential> {
        let is_apple_id = |id: &str| {
            id.len() == 10
                && id
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        if !is_apple_id(key_id) {
            return Err(InvalidCredential::AppleId { what: "key id" });
        }
        if !is_apple_id(team_id) {
            return Err(InvalidCredential::AppleId { what: "team id" });
        }
        let key = Es256Key::from_pem(pem)?;
        Ok(Self {
            key_id: key_id.into(),
            team_id: team_id.into(),
            pem: pem.to_owned().into(),
            key,
        })
    }

    /// The key's id.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The team's id.
    pub fn team_id(&self) -> &str {
        &self.team_id
    }

    /// The key that signs provider tokens.
    pub fn key(&self) -> &Es256Key {
        &self.key
    }
}

/// A Google service account that may send through FCM.
#[derive(zeroize::ZeroizeOnDrop)]
pub struct FcmCredential {
    project_id: String,
    client_email: String,
    private_key_id: String,
    token_uri: String,
    json: zeroize::Zeroizing<String>,
    key: Rs256Key,
}

#[derive(Deserialize)]
struct ServiceAccountJson {
    #[serde(rename = "type")]
    kind: String,
    project_id: String,
    private_key_id: String,
    private_key: zeroize::Zeroizing<String>,
    client_email: String,
    token_uri: String,
}

const SERVICE_ACCOUNT_FIELDS: [&str; 6] = [
    "type",
    "project_id",
    "private_key_id",
    "private_key",
    "client_email",
    "token_uri",
];

impl FcmCredential {
    /// Checks a service-account file as Google's console hands it out.
    pub fn parse(json: &str) -> Result<Self, InvalidCredential> {
        let bad = InvalidCredential::ServiceAccount;
        // A list would be read as the fields in their order.
        if json.trim_start().starts_with('[') {
            return Err(bad("it is JSON, but no object".into()));
        }
        let read: ServiceAccountJson =
            serde_json::from_str(json).map_err(|error| bad(unreadable(json, &error)))?;
        if read.kind != "service_account" {
            // A word is told; anything else may be what should have stood elsewhere.
            let is_word = |kind: &str| kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            let told = Some(&read.kind).filter(|kind| kind.len() <= 40 && is_word(kind));
            let kind = told.map_or("something else", String::as_str);
            return Err(bad(format!("its `type` is {kind}, not service_account")));
        }
        let is_project = |id: &str| {
            (1..=64).contains(&id.len())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-.:_".contains(&b))
        };
        if !is_project(&read.project_id) {
            return Err(bad("its `project_id` is no project id".into()));
        }
        let token_uri = url::Url::parse(&read.token_uri)
            .map_err(|_| bad("its `token_uri` is no URL".into()))?;
        if token_uri.scheme() != "https" {
            return Err(bad("its `token_uri` is not https".into()));
        }
        let key = Rs256Key::from_pem(&read.private_key)
            .map_err(|error| bad(format!("its `private_key`: {error}")))?;
        Ok(Self {
            project_id: read.project_id,
            client_email: read.client_email,
            private_key_id: read.private_key_id,
            token_uri: token_uri.into(),
            json: json.to_owned().into(),
            key,
        })
    }

    /// The Firebase project to send in.
    pub fn project_id(&self) -> &str {
        &self.project_id
    }

    /// The issuer of assertions.
    pub fn client_email(&self) -> &str {
        &self.client_email
    }

    /// The `kid` of assertions.
    pub fn private_key_id(&self) -> &str {
        &self.private_key_id
    }

    /// Where assertions are exchanged for access tokens.
    pub fn token_uri(&self) -> &str {
        &self.token_uri
    }

    /// The key that signs assertions.
    pub fn key(&self) -> &Rs256Key {
        &self.key
    }
}

/// What keeps a service account from being read; without any of its values, since one of them is a key.
fn unreadable(json: &str, error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    if !error.is_data() {
        return format!("it is no JSON, from line {line}, column {column} on");
    }
    let Ok(fields) = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(json) else {
        return "it is JSON, but no object".into();
    };
    match SERVICE_ACCOUNT_FIELDS
        .iter()
        .find(|name| !fields.contains_key(**name))
    {
        Some(name) => format!("its `{name}` is missing"),
        None => {
            format!("what ends at line {line}, column {column} is no text, or stands in it twice")
        }
    }
}

/// A gateway credential of an instance. Web Push needs none besides the instance's VAPID key, which every instance has.
#[derive(Debug)]
pub enum Credential {
    /// For APNs.
    Apns(ApnsCredential),
    /// For FCM.
    Fcm(FcmCredential),
}

impl Credential {
    /// The platform whose gateway takes it.
    pub const fn platform(&self) -> Platform {
        match self {
            Self::Apns(_) => Platform::Apns,
            Self::Fcm(_) => Platform::Fcm,
        }
    }

    /// What may be shown of it: ids, no secrets.
    pub fn summary(&self) -> String {
        match self {
            Self::Apns(apns) => format!("key {} of team {}", apns.key_id, apns.team_id),
            Self::Fcm(fcm) => format!("project {} as {}", fcm.project_id, fcm.client_email),
        }
    }

    /// The whole credential as bytes, to be sealed and kept.
    pub fn to_stored(&self) -> zeroize::Zeroizing<Vec<u8>> {
        let json = match self {
            Self::Apns(apns) => {
                let stored = serde_json::json!(
                    {"key_id": apns.key_id, "team_id": apns.team_id, "pem": apns.pem.as_str()});
                stored.to_string()
            }
            Self::Fcm(fcm) => fcm.json.as_str().to_owned(),
        };
        json.into_bytes().into()
    }

    /// Reads what [`Credential::to_stored`] wrote.
    pub fn from_stored(platform: Platform, bytes: &[u8]) -> Result<Self, InvalidCredential> {
        let bad = |why: &str| InvalidCredential::ServiceAccount(why.into());
        match platform {
            Platform::Apns => {
                let stored: ApnsStored = serde_json::from_slice(bytes)
                    .map_err(|_| InvalidCredential::Key(InvalidKey::NotPem))?;
                Ok(Self::Apns(ApnsCredential::parse(
                    &stored.key_id,
                    &stored.team_id,
                    &stored.pem,
                )?))
            }
            Platform::Fcm => {
                let json = std::str::from_utf8(bytes).map_err(|_| bad("it is not UTF-8"))?;
                Ok(Self::Fcm(FcmCredential::parse(json)?))
            }
            Platform::Web => Err(bad("Web Push has no credential to set")),
        }
    }
}

impl fmt::Debug for ApnsCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ApnsCredential(key {} of team {})",
            self.key_id, self.team_id
        )
    }
}

impl fmt::Debug for FcmCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FcmCredential(project {})", self.project_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;

    fn pem() -> String {
        let der = Es256Key::generate().unwrap().pkcs8().to_vec();
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
    }

    #[test]
    fn an_apns_credential_reads_back() {
        let credential =
            Credential::Apns(ApnsCredential::parse("ABC1234567", "TEAM123456", &pem()).unwrap());
        let again = Credential::from_stored(Platform::Apns, &credential.to_stored()).unwrap();
        assert_eq!(again.summary(), "key ABC1234567 of team TEAM123456");
        assert!(!format!("{again:?}").contains("BEGIN"));
    }

    #[test]
    fn a_wrong_file_gets_one_clear_line() {
        let why =
            |result: Result<FcmCredential, InvalidCredential>| result.unwrap_err().to_string();
        assert!(why(FcmCredential::parse("{}")).contains("`type` is missing"));
        let user = r#"{"type":"authorized_user","project_id":"p","private_key_id":"k","private_key":"","client_email":"e","token_uri":"https://x"}"#;
        assert!(why(FcmCredential::parse(user)).contains("authorized_user"));
        let no_key = user.replace("authorized_user", "service_account");
        assert!(why(FcmCredential::parse(&no_key)).contains("private_key"));
        assert!(
            ApnsCredential::parse("short", "TEAM123456", &pem())
                .unwrap_err()
                .to_string()
                .contains("key id")
        );
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
        assert!(
            ApnsCredential::parse("ABC1234567", "TEAM123456", certificate)
                .unwrap_err()
                .to_string()
                .contains("PEM")
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_without_what_is_in_it() {
        let key = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC";
        let account = format!(
            r#"{{"type":"service_account","project_id":"p","private_key_id":"k","private_key":"{key}","client_email":"e","token_uri":"https://x"}}"#
        );
        let text = serde_json::to_string(&account).unwrap();
        let twice = serde_json::to_string(&text).unwrap();
        for (json, why) in [
            (account.clone(), "`private_key`"),
            (text, "no object"),
            (twice, "no object"),
            (format!("[{account}]"), "no object"),
            (
                format!(r#"["service_account","p","k","{key}","e","https://x"]"#),
                "no object",
            ),
            (account.replace("service_account", key), "something else"),
            (
                account.replace(r#""e""#, &format!("[{key:?}]")),
                "is no text",
            ),
            (
                account.replace("client_email", "type"),
                "`client_email` is missing",
            ),
            (account.replace(":\"p\"", &format!(":{key}")), "no JSON"),
            (format!("{account}{key}"), "no JSON"),
        ] {
            let told = FcmCredential::parse(&json).err().unwrap().to_string();
            assert!(told.contains(why) && !told.contains('\n'), "{told}");
            for piece in key.as_bytes().windows(8) {
                assert!(
                    !told.contains(std::str::from_utf8(piece).unwrap()),
                    "{told}"
                );
            }
        }
    }
}
