//! Requests to webhooks: somebody else's URL, asked once, believed nothing but the status of the answer.
//!
//! They have connections of their own, apart from those to Web Push services and apart for each webhook, so that a receiver that
//! hangs holds up nobody else. The address guard has its say on each; redirects are answers like others; of the body no more is
//! read than is needed to use the connection again. Knows nothing of events, signatures or repetitions.

use std::fmt;
#[cfg(feature = "simulation")]
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::webhook::WebhookId;
use http::{HeaderName, HeaderValue, Method, Request, header};
use url::Url;

#[cfg(feature = "simulation")]
use crate::Script;
use crate::http::{Failure, GUARDED_DESTINATIONS_MAX, HttpClient, Refused, Target};

/// How many requests one webhook gets at once at most.
pub const POSTS_PER_WEBHOOK_MAX: usize = 16;
/// How many requests there is room for at once, to all webhooks together: each may go to another webhook, which has connections of
/// its own.
pub const POSTS_MAX: usize = GUARDED_DESTINATIONS_MAX;

/// A request to a webhook. `Debug` shows neither its URL, which may hold a secret, nor what it carries.
#[derive(Clone)]
pub struct Post<'a> {
    /// Whose connections it uses.
    pub webhook: WebhookId,
    /// Where it goes.
    pub url: &'a str,
    /// User name and password, where the receiver wants them.
    pub basic: Option<(&'a str, &'a str)>,
    /// Its headers beside those of every request with a JSON body.
    pub headers: &'a [(&'static str, String)],
    /// What it carries: JSON.
    pub body: &'a [u8],
}

impl fmt::Debug for Post<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Post({})", self.webhook)
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// The status of the answer.
    Answered(u16),
    /// There was none. Why, in one word.
    Failed(&'static str),
    /// Nothing was sent, because this node had no room for it or is stopping. That says nothing of the webhook.
    NotAsked,
}

/// The way to all webhooks. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    way: Way,
}

#[derive(Clone)]
enum Way {
    Http(HttpClient),
    #[cfg(feature = "simulation")]
    Scripted(Arc<dyn Script>),
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhooks")
    }
}

impl Webhooks {
    pub(crate) const fn new(http: HttpClient) -> Self {
        Self {
            way: Way::Http(http),
        }
    }

    #[cfg(feature = "simulation")]
    pub(crate) fn scripted(script: Arc<dyn Script>) -> Self {
        Self {
            way: Way::Scripted(script),
        }
    }

    /// Makes a request. It ends within twice the timeout: once to connect, once to be answered.
    pub async fn post(&self, post: &Post<'_>) -> Posted {
        match &self.way {
            Way::Http(http) => match send(http, post).await {
                Ok(status) => Posted::Answered(status),
                Err(Failure::TooManyHosts | Failure::Closing) => Posted::NotAsked,
                Err(failure) => Posted::Failed(failure.word()),
            },
            #[cfg(feature = "simulation")]
            Way::Scripted(script) => script.post(post).await,
        }
    }
}

async fn send(http: &HttpClient, post: &Post<'_>) -> Result<u16, Failure> {
    let url = Url::parse(post.url).map_err(|_| Failure::Refused(Refused::NotUrl))?;
    let origin = &url[..url::Position::BeforePath];
    let destination = http.webhook_destination(&format!("{} {origin}", post.webhook), &url)?;
    let body = Bytes::copy_from_slice(post.body);
    let request = || request(destination.target(), &url, post);
    let answer = destination.send(request, body).await?;
    Ok(answer.status.as_u16())
}

fn request(target: &Target, url: &Url, post: &Post<'_>) -> Option<Request<()>> {
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.uri(path.parse().ok()?);
    let headers = request.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(post.body.len()));
    if let Some((user, password)) = post.basic {
        let both = STANDARD.encode(format!("{user}:{password}"));
        let mut value = HeaderValue::try_from(format!("Basic {both}")).ok()?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    for (name, value) in post.headers {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::try_from(value).ok()?,
        );
    }
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[tokio::test]
    async fn a_request_for_which_there_is_no_room_is_not_asked() {
        let root = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let config = Config {
            extra_ca_pem: Some(root.cert.pem().into_bytes()),
            ..Config::default()
        };
        let http = HttpClient::new(&config).unwrap();
        let webhooks = Webhooks::new(http.clone());
        let post = Post {
            webhook: WebhookId::random(),
            url: "https://webhook.example/",
            basic: None,
            headers: &[],
            body: b"{}",
        };
        let url = Url::parse(post.url).unwrap();
        let used: Vec<_> = (0..POSTS_MAX)
            .map(|number| http.webhook_destination(&number.to_string(), &url))
            .collect();
        assert!(used.iter().all(Result::is_ok));
        assert_eq!(webhooks.post(&post).await, Posted::NotAsked);
        drop(used);
        http.close().await;
        assert_eq!(webhooks.post(&post).await, Posted::NotAsked);
    }
}
