//! What a push message must look like: RFC 8030 sections 5.2 to 5.4, RFC 8188 section 2.1, RFC 8291 section 4.
//!
//! Looks at headers and at the outside of the body; who sends is VAPID's question, what is inside the keys'.
//! Invariant: nothing here changes anything.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::encryption::Envelope;
use super::refusal::Refusal;

/// RFC 8030 section 7.2: what every service must take, and no service has to take more.
const BODY_BYTES_MAX: usize = 4096;
/// RFC 8030 section 5.4.
const TOPIC_CHARACTERS_MAX: usize = 32;
const URGENCIES: [&str; 4] = ["very-low", "low", "normal", "high"];

/// How a message wants to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) ttl: Duration,
    pub(super) topic: Option<String>,
}

pub(super) fn check(headers: &HeaderMap, body: &Bytes) -> Result<Delivery, Refusal> {
    let text = |name: &str, word: &'static str| match headers.get(name) {
        None => Ok(None),
        Some(value) => value.to_str().map(Some).map_err(|_| Refusal::of(400, word)),
    };
    let ttl = text("ttl", "bad-ttl")?.ok_or_else(|| Refusal::of(400, "missing-ttl"))?;
    if ttl.is_empty() || !ttl.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::of(400, "bad-ttl"));
    }
    // RFC 8030 section 5.2 lets a service shorten what is longer than it likes.
    let ttl = Duration::from_secs(ttl.parse::<u32>().unwrap_or(u32::MAX).into());
    if text("urgency", "bad-urgency")?.is_some_and(|urgency| !URGENCIES.contains(&urgency)) {
        return Err(Refusal::of(400, "bad-urgency"));
    }
    let topic = text("topic", "bad-topic")?;
    let is_topic = |topic: &str| {
        (1..=TOPIC_CHARACTERS_MAX).contains(&topic.len())
            && topic
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if topic.is_some_and(|topic| !is_topic(topic)) {
        return Err(Refusal::of(400, "bad-topic"));
    }
    if body.len() > BODY_BYTES_MAX {
        return Err(Refusal::of(413, "too-large"));
    }
    if !body.is_empty() {
        if text("content-encoding", "bad-encoding")? != Some("aes128gcm") {
            return Err(Refusal::of(400, "bad-encoding"));
        }
        Envelope::parse(body).map_err(|word| Refusal::of(400, word))?;
    }
    Ok(Delivery {
        ttl,
        topic: topic.map(str::to_owned),
    })
}
