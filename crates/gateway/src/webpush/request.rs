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

/// All of a request but its body and where it goes.
pub(super) struct Parts<'a> {
    pub(super) subscription: &'a WebPushSubscription,
    pub(super) message: &'a WebPushMessage,
    pub(super) authorization: HeaderValue,
    pub(super) body_length: usize,
}

impl Parts<'_> {
    /// The request. It is made anew in the rare case that it is sent again, which costs less than keeping a copy of each.
    /// `None` if a part cannot be written in a request, which the domain's rules for these values leave no room for.
    pub(super) fn request(&self, target: &Target) -> Option<Request<()>> {
        let mut headers = HeaderMap::with_capacity(HEADERS_MAX);
        headers.insert(header::AUTHORIZATION, self.authorization.clone());
        headers.insert(header::CONTENT_ENCODING, AES128GCM);
        headers.insert(header::CONTENT_TYPE, OCTETS);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.body_length));
        headers.insert(TTL, HeaderValue::from(self.message.ttl_secs));
        if let Some(urgency) = self.message.urgency {
            headers.insert(URGENCY, HeaderValue::from_static(urgency.as_str()));
        }
        if let Some(topic) = &self.message.topic {
            headers.insert(TOPIC, HeaderValue::from_str(topic).ok()?);
        }
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.uri(self.path()?);
        *request.headers_mut() = headers;
        Some(request)
    }

    fn path(&self) -> Option<PathAndQuery> {
        let origin = self.subscription.origin();
        let path = self.subscription.endpoint().get(origin.len()..)?;
        let path = match path.as_bytes().first() {
            None => return Some(PathAndQuery::from_static("/")),
            Some(b'/') => Bytes::copy_from_slice(path.as_bytes()),
            Some(_) => Bytes::from(format!("/{path}")),
        };
        PathAndQuery::from_maybe_shared(path).ok()
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
        let parts = Parts {
            subscription: &subscription,
            message: &message,
            authorization: HeaderValue::from_static("vapid x"),
            body_length: 42,
        };
        parts.request(&target).unwrap()
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
