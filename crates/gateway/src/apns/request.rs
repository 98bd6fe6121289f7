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
pub(super) struct Parts<'a> {
    pub(super) token: &'a str,
    pub(super) topic: &'a BundleId,
    pub(super) id: Uuid,
    pub(super) notification: &'a ApnsNotification,
}

impl Parts<'_> {
    /// The request. It is made anew in the rare case that it is sent again, which costs less than keeping a copy of each.
    /// `None` if a part cannot be written in a request, which the domain's rules for these values leave no room for.
    pub(super) fn request(
        &self,
        target: &Target,
        authorization: &HeaderValue,
    ) -> Option<Request<()>> {
        let path = Bytes::from(format!("/3/device/{}", self.token));
        let path = PathAndQuery::from_maybe_shared(path).ok()?;
        let mut headers = HeaderMap::with_capacity(HEADERS_MAX);
        headers.insert(header::AUTHORIZATION, authorization.clone());
        headers.insert(
            APNS_TOPIC,
            topic_of(self.topic, self.notification.push_type)?,
        );
        headers.insert(APNS_ID, id(&self.id)?);
        let push_type = self.notification.push_type.as_str();
        headers.insert(APNS_PUSH_TYPE, HeaderValue::from_static(push_type));
        if let Some(priority) = self.notification.priority {
            headers.insert(APNS_PRIORITY, HeaderValue::from(u16::from(priority)));
        }
        if let Some(expiration) = self.notification.expiration {
            headers.insert(APNS_EXPIRATION, HeaderValue::from(expiration));
        }
        if let Some(collapse_id) = &self.notification.collapse_id {
            let value = HeaderValue::from_bytes(collapse_id.as_bytes()).ok()?;
            headers.insert(APNS_COLLAPSE_ID, value);
        }
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.uri(path);
        *request.headers_mut() = headers;
        Some(request)
    }
}

fn id(uuid: &Uuid) -> Option<HeaderValue> {
    let mut buffer = Uuid::encode_buffer();
    let mut id = HeaderValue::from_str(uuid.hyphenated().encode_lower(&mut buffer)).ok()?;
    // Different in every request, so it would only push others out of the compression table.
    id.set_sensitive(true);
    Some(id)
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
        let parts = Parts {
            token: "00ff",
            topic: &topic,
            id,
            notification,
        };
        parts.request(&target, &authorization).unwrap()
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
