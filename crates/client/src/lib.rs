//! The Rust server SDK of Heliostat: sign Beams tokens, publish to users and to interests, delete users; and a client for
//! those who manage one, [`AdminClient`].
//!
//! It is for the backend of an app, which holds the instance's secret key; it offers what Beams' official server SDKs
//! offer, and speaks the same wire, so it also works with hosted Beams. It checks everything it is given with the
//! server's own rules before anything leaves the process, and has one typed [`Error`] for everything that can happen.
//! It knows nothing of devices, gateways or storage, and never retries: a publish whose answer got lost may have been
//! accepted, and whether to notify people twice is the caller's decision.
//!
//! # Publish
//!
//! ```no_run
//! # async fn example() -> Result<(), heliostat_client::Error> {
//! use heliostat_client::Client;
//! use serde_json::json;
//!
//! let beams = Client::builder("3f1b8f8e-6d5c-4f5e-9c53-5d0a4f6a3c11", "the secret key")
//!     .base_url("https://push.example.com")
//!     .build()?;
//!
//! let payload = json!({
//!     "apns": {"aps": {"alert": {"title": "Dinner", "body": "is ready"}}},
//!     "fcm": {"notification": {"title": "Dinner", "body": "is ready"}},
//!     "web": {"notification": {"title": "Dinner", "body": "is ready"}},
//! });
//! let publish = beams.publish_to_users(&["alice"], &payload).await?;
//! println!("accepted as {publish}");
//! beams.publish_to_interests(&["kitchen", "family"], &payload).await?;
//! beams.delete_user("alice").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # The app's auth endpoint
//!
//! A client SDK asks the app's own backend for a Beams token: `GET /beams-auth?user_id=alice`. The backend answers only
//! if whoever asks is logged in as that very user; the answer's body is a [`BeamsToken`] as JSON.
//!
//! ```
//! # fn main() -> Result<(), heliostat_client::Error> {
//! use heliostat_client::Client;
//!
//! let beams = Client::new("3f1b8f8e-6d5c-4f5e-9c53-5d0a4f6a3c11", "the-secret-key")?;
//!
//! let logged_in_as = "alice"; // from the app's own session, never from the query alone
//! let asked_for = "alice"; // the query's user_id
//! assert_eq!(logged_in_as, asked_for, "otherwise answer 401");
//! let body = serde_json::to_string(&beams.generate_token(logged_in_as)?).unwrap();
//! assert!(body.starts_with(r#"{"token":"ey"#));
//! # Ok(())
//! # }
//! ```

mod admin;
mod answer;
mod builder;
mod error;
mod token;

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::clock::Clock;
use domain::instance::{InstanceId, SecretKey};
use domain::publish::{AudienceKind, PublishRequest};
use domain::user::UserId;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::RequestBuilder;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

pub use admin::{AdminClient, AdminClientBuilder};
pub use builder::{ClientBuilder, DEFAULT_BASE_URL, TIMEOUT_DEFAULT};
pub use domain::publish::PublishId;
pub use error::{Error, Refusal, ValidationError};
pub use reqwest::Method;
pub use token::BeamsToken;

/// What a request says it was made by.
const LIBRARY: &str = concat!("heliostat-client-rust ", env!("CARGO_PKG_VERSION"));
const LIBRARY_HEADER: &str = "X-Pusher-Library";
/// All but RFC 3986's unreserved characters: no server reads any of the rest as a separator or as a space.
pub(crate) const USER_ID_ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A payload's top level, each value kept as it was written.
type TopLevel = BTreeMap<String, Box<RawValue>>;

/// One instance's client. Cheap to clone; clones share their connections.
///
/// Its methods need a Tokio runtime, except [`Client::generate_token`].
#[derive(Debug, Clone)]
pub struct Client {
    instance: InstanceId,
    secret_key: SecretKey,
    /// Without a slash at the end.
    base_url: Arc<str>,
    authorization: HeaderValue,
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
}

impl Client {
    /// A client for a server on this machine, at [`DEFAULT_BASE_URL`]. Everything else is set with [`Client::builder`].
    pub fn new(instance_id: &str, secret_key: &str) -> Result<Self, Error> {
        Self::builder(instance_id, secret_key).build()
    }

    /// Begins a client for an instance, given its id and one of its secret keys.
    pub fn builder(instance_id: &str, secret_key: &str) -> ClientBuilder {
        ClientBuilder::new(instance_id, secret_key)
    }

    /// The instance that this client is for.
    pub fn instance_id(&self) -> String {
        self.instance.to_string()
    }

    /// Signs a Beams token for a user whom the app's backend has logged in. It is valid for 24 hours, and no request is
    /// made. Errors: [`Error::Validation`] for a user id of other than 1 to 164 characters.
    pub fn generate_token(&self, user_id: &str) -> Result<BeamsToken, Error> {
        let user = UserId::parse(user_id).map_err(ValidationError::UserId)?;
        token::sign(&self.instance, &self.secret_key, &user, self.clock.now())
    }

    /// Publishes to all devices that are subscribed to any of 1 to 100 interests; a device gets one copy.
    ///
    /// `payload` serialises to an object with at least one of `apns`, `fcm` and `web` (Beams: publish-payloads
    /// reference). When this returns, the server has accepted the publish durably; it is delivered at least once.
    pub async fn publish_to_interests(
        &self,
        interests: &[impl AsRef<str>],
        payload: &(impl Serialize + ?Sized),
    ) -> Result<PublishId, Error> {
        self.publish(AudienceKind::Interests, interests, payload)
            .await
    }

    /// Publishes to all devices of 1 to 1000 users. As [`Client::publish_to_interests`] otherwise.
    pub async fn publish_to_users(
        &self,
        user_ids: &[impl AsRef<str>],
        payload: &(impl Serialize + ?Sized),
    ) -> Result<PublishId, Error> {
        self.publish(AudienceKind::Users, user_ids, payload).await
    }

    /// Deletes a user and all the user's devices. An unknown user is deleted already.
    pub async fn delete_user(&self, user_id: &str) -> Result<(), Error> {
        let user = UserId::parse(user_id).map_err(ValidationError::UserId)?;
        // URLs know these two only as "here" and "up", escaped or not (WHATWG URL, dot path segments).
        if matches!(user.as_str(), "." | "..") {
            return Err(ValidationError::DotUserId.into());
        }
        let user = utf8_percent_encode(user.as_str(), USER_ID_ESCAPED);
        let request = self.request(Method::DELETE, "customer_api", &format!("users/{user}"));
        answer::read(request).await.map(drop)
    }

    async fn publish(
        &self,
        kind: AudienceKind,
        names: &[impl AsRef<str>],
        payload: &(impl Serialize + ?Sized),
    ) -> Result<PublishId, Error> {
        let body = publish_body(kind, names, payload)?;
        let path = format!("publishes/{}", kind.as_str());
        let request = self
            .request(Method::POST, "publish_api", &path)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        answer::publish_id(&answer::read(request).await?)
    }

    fn request(&self, method: Method, api: &str, path: &str) -> RequestBuilder {
        let url = format!(
            "{}/{api}/v1/instances/{}/{path}",
            self.base_url, self.instance
        );
        self.http
            .request(method, url)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/json")
            .header(LIBRARY_HEADER, LIBRARY)
    }
}

/// Puts the audience beside the payload and checks the whole by the server's own rules.
fn publish_body(
    kind: AudienceKind,
    names: &[impl AsRef<str>],
    payload: &(impl Serialize + ?Sized),
) -> Result<Vec<u8>, Error> {
    let not_json = |error: serde_json::Error| ValidationError::Payload(error.to_string());
    let payload = to_raw_value(payload).map_err(not_json)?;
    let mut body: TopLevel = serde_json::from_str(payload.get())
        .map_err(|_| ValidationError::Payload("it must serialise to an object".into()))?;
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    body.insert(
        kind.as_str().into(),
        to_raw_value(&names).map_err(not_json)?,
    );
    let body = serde_json::to_vec(&body).map_err(not_json)?;
    PublishRequest::parse(kind, &body).map_err(ValidationError::Publish)?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(
        kind: AudienceKind,
        names: &[&str],
        payload: &serde_json::Value,
    ) -> Result<String, String> {
        publish_body(kind, names, payload)
            .map(|body| String::from_utf8(body).unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn audience_stands_beside_the_payload() {
        let payload = json!({"web": {"notification": {"title": "t"}}});
        assert_eq!(
            body(AudienceKind::Users, &["b", "a"], &payload).unwrap(),
            r#"{"users":["b","a"],"web":{"notification":{"title":"t"}}}"#
        );
    }

    #[test]
    fn values_go_out_as_they_were_written() {
        let raw: Box<RawValue> =
            serde_json::from_str(r#"{"fcm":{"data":{"n":1.0000000000000000000001}}}"#).unwrap();
        let body = publish_body(AudienceKind::Interests, &["i"], &raw).unwrap();
        assert!(
            String::from_utf8(body)
                .unwrap()
                .contains("1.0000000000000000000001")
        );
    }

    #[test]
    fn what_the_server_would_refuse_does_not_leave() {
        let fine = json!({"fcm": {"data": {"k": "v"}}});
        let refused = |kind, names: &[&str], payload: &serde_json::Value, why: &str| {
            let error = body(kind, names, payload).unwrap_err();
            assert!(error.contains(why), "{error}");
        };
        let many: Vec<&str> = vec!["i"; 101];
        refused(AudienceKind::Interests, &[], &fine, "1 to 100");
        refused(AudienceKind::Interests, &many, &fine, "1 to 100");
        refused(AudienceKind::Interests, &["a b"], &fine, "' '");
        refused(AudienceKind::Users, &[""], &fine, "must not be empty");
        refused(AudienceKind::Users, &["u"], &json!({}), "apns, fcm, web");
        refused(AudienceKind::Users, &["u"], &json!([1]), "an object");
        refused(
            AudienceKind::Users,
            &["u"],
            &json!({"interests": ["i"], "fcm": {}}),
            "`interests`",
        );
        let large = json!({"fcm": {"data": {"k": "v".repeat(5000)}}});
        refused(AudienceKind::Users, &["u"], &large, "too large");
    }
}
