//! The messages of Firefox's push protocol, both ways.
//!
//! Owns their JSON; what they lead to is the agents' business. Invariant: what a browser sends is read leniently
//! (unknown fields and unknown messages are passed over), what goes to it has exactly the fields it expects.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// From the browser. Fields that are not needed are not read.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "messageType", rename_all = "snake_case")]
pub(super) enum FromBrowser {
    Hello {
        uaid: Option<String>,
    },
    Register {
        #[serde(rename = "channelID")]
        channel_id: String,
        key: Option<String>,
    },
    Unregister {
        #[serde(rename = "channelID")]
        channel_id: String,
    },
    Ack {
        #[serde(default)]
        updates: Vec<Update>,
    },
    Nack {
        version: String,
        code: Option<u32>,
    },
    Ping,
    #[serde(other)]
    Other,
}

/// One acknowledged message.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Update {
    pub(super) version: String,
    pub(super) code: Option<u32>,
}

impl FromBrowser {
    /// Reads a text frame. An empty object is a ping.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.trim() == "{}" {
            return Some(Self::Ping);
        }
        serde_json::from_str(text).ok()
    }
}

/// To the browser.
#[derive(Debug, Serialize)]
#[serde(tag = "messageType", rename_all = "snake_case")]
pub(super) enum ToBrowser<'a> {
    Hello {
        uaid: &'a str,
        status: u16,
        use_webpush: bool,
        broadcasts: BTreeMap<String, String>,
    },
    Register {
        #[serde(rename = "channelID")]
        channel_id: &'a str,
        status: u16,
        #[serde(rename = "pushEndpoint", skip_serializing_if = "Option::is_none")]
        endpoint: Option<&'a str>,
    },
    Unregister {
        #[serde(rename = "channelID")]
        channel_id: &'a str,
        status: u16,
    },
    Notification {
        #[serde(rename = "channelID")]
        channel_id: &'a str,
        version: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        headers: Option<Encoding>,
    },
}

#[derive(Debug, Serialize)]
pub(super) struct Encoding {
    encoding: &'static str,
}

impl ToBrowser<'_> {
    pub(super) fn notification<'a>(
        channel_id: &'a str,
        version: &'a str,
        body: &[u8],
    ) -> ToBrowser<'a> {
        let sealed = !body.is_empty();
        ToBrowser::Notification {
            channel_id,
            version,
            data: sealed.then(|| URL_SAFE_NO_PAD.encode(body)),
            headers: sealed.then_some(Encoding {
                encoding: "aes128gcm",
            }),
        }
    }

    /// The text frame.
    pub(super) fn text(&self) -> String {
        // Only maps with keys that are not text could fail, and there are none.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_sends_is_read() {
        let hello = r#"{"messageType":"hello","broadcasts":{},"use_webpush":true}"#;
        assert_eq!(
            FromBrowser::parse(hello),
            Some(FromBrowser::Hello { uaid: None })
        );
        assert_eq!(FromBrowser::parse("{}"), Some(FromBrowser::Ping));
        let other = r#"{"messageType":"broadcast_subscribe","broadcasts":{"a":"b"}}"#;
        assert_eq!(FromBrowser::parse(other), Some(FromBrowser::Other));
        for bad in [
            "",
            "[]",
            "nonsense",
            r#"{"messageType":"register"}"#,
            r#"{"messageType":7}"#,
        ] {
            assert_eq!(FromBrowser::parse(bad), None, "{bad}");
        }
    }
}
