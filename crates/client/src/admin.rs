//! A client for the admin API of a Heliostat: everything that its command line does, for programs.
//!
//! ```no_run
//! # async fn example() -> Result<(), heliostat_client::Error> {
//! use heliostat_client::AdminClient;
//! use serde_json::json;
//!
//! let admin = AdminClient::builder("hsa_…").base_url("https://push.example.com").build()?;
//! let created = admin.post("/instances", &json!({"name": "shop"})).await?;
//! println!("{} {}", created["id"], created["secretKey"]);
//! for instance in admin.get("/instances").await?["instances"].as_array().into_iter().flatten() {
//!     println!("{}", instance["name"]);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The server describes all calls at `/openapi.json`, and for people at `/docs`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::utf8_percent_encode;
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::builder::{self, DEFAULT_BASE_URL, TIMEOUT_DEFAULT};
use crate::{Error, USER_ID_ESCAPED, ValidationError, answer};

/// The largest answer that is read, in bytes: the longest pages of devices have some.
const ANSWER_LENGTH_MAX: usize = 32 * 1024 * 1024;

/// A client of the admin API. Cheap to clone; clones share their connections. Needs a Tokio runtime.
#[derive(Clone)]
pub struct AdminClient {
    /// Without a slash at the end.
    base_url: Arc<str>,
    authorization: HeaderValue,
    http: reqwest::Client,
}

/// An admin client in the making. Whatever is wrong is told by [`AdminClientBuilder::build`].
#[derive(Clone)]
#[must_use]
pub struct AdminClientBuilder {
    token: Zeroizing<String>,
    base_url: String,
    timeout: Duration,
    roots_pem: Vec<Vec<u8>>,
}

impl AdminClientBuilder {
    /// Where the server is; [`DEFAULT_BASE_URL`] unless set.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = url.into();
        self
    }

    /// How long a request may take in all; [`TIMEOUT_DEFAULT`] unless set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Trusts these certificate authorities, one or more in PEM, beside those of the operating system.
    pub fn extra_root_ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots_pem.push(pem.into());
        self
    }

    /// The client, or what is wrong with what was given.
    pub fn build(self) -> Result<AdminClient, Error> {
        let authorization = HeaderValue::try_from(format!("Bearer {}", *self.token));
        let mut authorization = authorization.map_err(|_| ValidationError::AdminToken)?;
        authorization.set_sensitive(true);
        let (base_url, http) = builder::http(&self.base_url, self.timeout, &self.roots_pem)?;
        Ok(AdminClient {
            base_url,
            authorization,
            http,
        })
    }
}

impl AdminClient {
    /// Begins a client that shows an admin token.
    pub fn builder(token: &str) -> AdminClientBuilder {
        AdminClientBuilder {
            token: token.to_owned().into(),
            base_url: DEFAULT_BASE_URL.into(),
            timeout: TIMEOUT_DEFAULT,
            roots_pem: Vec::new(),
        }
    }

    /// Reads something, as in `/instances`.
    pub async fn get(&self, path: &str) -> Result<Value, Error> {
        self.call(Method::GET, path, None).await
    }

    /// Makes something.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Sets something.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// Changes something.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// Deletes something.
    pub async fn delete(&self, path: &str) -> Result<Value, Error> {
        self.call(Method::DELETE, path, None).await
    }

    /// Makes a call: its path behind `/admin_api/v1`, with names in it escaped by [`AdminClient::escape`].
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let mut request = self
            .http
            .request(method, format!("{}/admin_api/v1{path}", self.base_url))
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/json");
        if let Some(body) = body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        let answer = answer::read_at_most(request, ANSWER_LENGTH_MAX).await?;
        answer.json()
    }

    /// A name as it stands in a path or a query.
    pub fn escape(name: &str) -> String {
        utf8_percent_encode(name, USER_ID_ESCAPED).to_string()
    }
}

impl fmt::Debug for AdminClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AdminClient({})", self.base_url)
    }
}

impl fmt::Debug for AdminClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AdminClientBuilder({})", self.base_url)
    }
}
