//! A push message as a request. RFC 8030 section 5, RFC 8291 section 4, RFC 8292 section 3.

use bytes::Bytes;
use domain::device::WebPushSubscription;
use domain::payload::WebPushMessage;
use http::header::HeaderName;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, header};

use crate::http::Target;

const TTL: HeaderName = HeaderName::from_static("ttl");
const URGENCY: HeaderName = HeaderName::from_static("urgency");
const TOPIC: HeaderName = HeaderName::from_static("topic");
const AES128GCM: HeaderValue = HeaderValue::from_static("aes128gcm");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// The most headers of a request.
const HEADERS_MAX: usize = 7;

/// All of a request but its body.
pub(super) struct Head {
    path: PathAndQuery,
    headers: HeaderMap,
}

impl Head {
    /// `None` if a part cannot be written in a request, which the domain's rules for these values leave no room for.
    pub(super) fn new(
        subscription: &WebPushSubscription,
        message: &WebPushMessage,
        authorization: HeaderValue,
        body_length: usize,
    ) -> Option<Self> {
        let path = subscription.endpoint().get(subscription.origin().len()..)?;
        let path = match path.as_bytes().first() {
            None => PathAndQuery::from_static("/"),
            Some(b'/') => {
                PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(path.as_bytes())).ok()?
            }
            Some(_) => PathAndQuery::from_maybe_shared(Bytes::from(format!("/{path}"))).ok()?,
        };
        let mut headers = HeaderMap::with_capacity(HEADERS_MAX);
        headers.insert(header::AUTHORIZATION, authorization);
        headers.insert(header::CONTENT_ENCODING, AES128GCM);
        headers.insert(header::CONTENT_TYPE, OCTETS);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body_length));
        headers.insert(TTL, HeaderValue::from(message.ttl_secs));
        if let Some(urgency) = message.urgency {
            headers.insert(URGENCY, HeaderValue::from_static(urgency.as_str()));
        }
        if let Some(topic) = &message.topic {
            headers.insert(TOPIC, HeaderValue::from_str(topic).ok()?);
        }
        Some(Self { path, headers })
    }

    pub(super) fn request(&self, target: &Target) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.uri(self.path.clone());
        *request.headers_mut() = self.headers.clone();
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use domain::jws::Es256Key;
    use domain::payload::Urgency;
    use url::Url;

    fn subscription(endpoint: &str) -> WebPushSubscription {
        let p256dh = URL_SAFE_NO_PAD.encode(Es256Key::generate().unwrap().public_key());
        let auth = URL_SAFE_NO_PAD.encode([7; 16]);
        let json =
            serde_json::json!({"endpoint": endpoint, "keys": {"p256dh": p256dh, "auth": auth}});
        WebPushSubscription::from_json(json.to_string().as_bytes()).unwrap()
    }

    fn request(endpoint: &str, urgency: Option<Urgency>, topic: Option<&str>) -> Request<()> {
        let message = WebPushMessage {
            plaintext: Vec::new(),
            ttl_secs: 60,
            urgency,
            topic: topic.map(Into::into),
        };
        let subscription = subscription(endpoint);
        let target = Target::new(&Url::parse(subscription.origin()).unwrap()).unwrap();
        Head::new(
            &subscription,
            &message,
            HeaderValue::from_static("vapid x"),
            42,
        )
        .unwrap()
        .request(&target)
    }

    #[test]
    fn every_header_is_there() {
        let request = request(
            "https://push.example:8443/a%20b?c=d",
            Some(Urgency::VeryLow),
            Some("news"),
        );
        assert_eq!(request.uri(), "https://push.example:8443/a%20b?c=d");
        assert_eq!(request.method(), Method::POST);
        for (name, value) in [
            ("authorization", "vapid x"),
            ("content-encoding", "aes128gcm"),
            ("content-length", "42"),
            ("content-type", "application/octet-stream"),
            ("ttl", "60"),
            ("urgency", "very-low"),
            ("topic", "news"),
        ] {
            assert_eq!(request.headers().get(name).unwrap(), value, "{name}");
        }
    }

    #[test]
    fn odd_endpoints_keep_their_path() {
        assert_eq!(
            request("https://push.example", None, None).uri(),
            "https://push.example/"
        );
        assert_eq!(
            request("https://push.example?x", None, None).uri(),
            "https://push.example/?x"
        );
        assert_eq!(
            request("https://push.example/ö/\"#f", None, None).uri(),
            "https://push.example/%C3%B6/%22"
        );
        assert_eq!(
            request("https://push.example/x", None, None)
                .headers()
                .len(),
            5
        );
    }
}
