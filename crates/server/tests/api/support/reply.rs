//! An answer, read whole, and what every answer must be.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.text().await.unwrap();
        Self {
            status,
            headers,
            body,
        }
    }

    /// Exactly 200.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{self:?}");
        self
    }

    /// Exactly 200, and nothing in it.
    #[track_caller]
    pub(crate) fn ok_and_empty(self) {
        let reply = self.ok();
        assert_eq!(reply.body, "", "{reply:?}");
        assert_eq!(reply.headers["content-length"], "0");
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A refusal with this status, in the form that all SDKs can read. Gives its two texts.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16) -> (String, String) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/json", "{self:?}");
        assert!(self.body.ends_with("}\n"), "{self:?}");
        let json = self.json();
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        let (error, description) = (text("error"), text("description"));
        assert!(!error.is_empty() && !description.is_empty(), "{self:?}");
        (error, description)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}
