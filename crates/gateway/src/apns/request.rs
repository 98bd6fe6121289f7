//! A notification as a request to APNs. Apple: Sending notification requests to APNs.

use bytes::Bytes;
use domain::device::BundleId;
use domain::payload::{ApnsNotification, PushType};
use http::header::HeaderName;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use uuid::Uuid;

use crate::http::Target;

const APNS_COLLAPSE_ID: HeaderName = HeaderName::from_static("apns-collapse-id");
const APNS_EXPIRATION: HeaderName = HeaderName::from_static("apns-expiration");
const APNS_ID: HeaderName = HeaderName::from_static("apns-id");
const APNS_PRIORITY: HeaderName = HeaderName::from_static("apns-priority");
const APNS_PUSH_TYPE: HeaderName = HeaderName::from_static("apns-push-type");
const APNS_TOPIC: HeaderName = HeaderName::from_static("apns-topic");
/// The most headers of a request.
const HEADERS_MAX: usize = 7;

/// All of a request but where it goes and who sends it.
pub(super) struct Prepared {
    path: PathAndQuery,
    topic: HeaderValue,
    id: HeaderValue,
    push_type: HeaderValue,
    priority: Option<HeaderValue>,
    expiration: Option<HeaderValue>,
    collapse_id: Option<HeaderValue>,
}

impl Prepared {
    /// `None` if a part cannot be written in a request, which the domain's rules for these values leave no room for.
    pub(super) fn new(
        token: &str,
        topic: &BundleId,
        id: &Uuid,
        notification: &ApnsNotification,
    ) -> Option<Self> {
        let path =
            PathAndQuery::from_maybe_shared(Bytes::from(format!("/3/device/{token}"))).ok()?;
        let mut buffer = Uuid::encode_buffer();
        let mut id = HeaderValue::from_str(id.hyphenated().encode_lower(&mut buffer)).ok()?;
        // Different in every request, so it would only push others out of the compression table.
        id.set_sensitive(true);
        let collapse_id = notification.collapse_id.as_ref();
        let collapse_id = collapse_id
            .map(|id| HeaderValue::from_bytes(id.as_bytes()))
            .transpose()
            .ok()?;
        Some(Self {
            path,
            topic: topic_of(topic, notification.push_type)?,
            id,
            push_type: HeaderValue::from_static(notification.push_type.as_str()),
            priority: notification
                .priority
                .map(|priority| HeaderValue::from(u16::from(priority))),
            expiration: notification.expiration.map(HeaderValue::from),
            collapse_id,
        })
    }

    pub(super) fn request(&self, target: &Target, authorization: &HeaderValue) -> Request<()> {
        let mut headers = HeaderMap::with_capacity(HEADERS_MAX);
        headers.insert(header::AUTHORIZATION, authorization.clone());
        headers.insert(APNS_TOPIC, self.topic.clone());
        headers.insert(APNS_ID, self.id.clone());
        headers.insert(APNS_PUSH_TYPE, self.push_type.clone());
        let optional = [
            (APNS_PRIORITY, &self.priority),
            (APNS_EXPIRATION, &self.expiration),
            (APNS_COLLAPSE_ID, &self.collapse_id),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.uri(self.path.clone());
        *request.headers_mut() = headers;
        request
    }
}

/// `apns-topic`: the bundle identifier, and what this kind of notification wants behind it.
fn topic_of(bundle: &BundleId, push_type: PushType) -> Option<HeaderValue> {
    match push_type.topic_suffix() {
        "" => HeaderValue::from_str(bundle.as_str()).ok(),
        suffix => HeaderValue::from_str(&format!("{}{suffix}", bundle.as_str())).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    fn request(notification: &ApnsNotification) -> Request<()> {
        let topic = BundleId::parse("com.example.app").unwrap();
        let id = Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef);
        let target = Target::new(&Url::parse("https://api.push.apple.com").unwrap()).unwrap();
        let authorization = HeaderValue::from_static("bearer x");
        Prepared::new("00ff", &topic, &id, notification)
            .unwrap()
            .request(&target, &authorization)
    }

    #[test]
    fn every_header_is_there() {
        let notification = ApnsNotification {
            body: b"{}".to_vec(),
            push_type: PushType::Alert,
            priority: Some(10),
            expiration: Some(0),
            collapse_id: Some("größer".into()),
        };
        let request = request(&notification);
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.uri(), "https://api.push.apple.com/3/device/00ff");
        let header = |name: &str| {
            std::str::from_utf8(request.headers().get(name).unwrap().as_bytes()).unwrap()
        };
        assert_eq!(header("authorization"), "bearer x");
        assert_eq!(header("apns-topic"), "com.example.app");
        assert_eq!(header("apns-id"), "01234567-89ab-4def-8123-456789abcdef");
        assert_eq!(header("apns-push-type"), "alert");
        assert_eq!(header("apns-priority"), "10");
        assert_eq!(header("apns-expiration"), "0");
        assert_eq!(header("apns-collapse-id"), "größer");
    }

    #[test]
    fn what_is_left_to_apns_is_left_out() {
        let notification = ApnsNotification {
            body: b"{}".to_vec(),
            push_type: PushType::Background,
            priority: None,
            expiration: None,
            collapse_id: None,
        };
        assert_eq!(request(&notification).headers().len(), 4);
    }
}
