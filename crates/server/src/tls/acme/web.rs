//! How an authority is talked to: the ACME library's requests through the HTTP client that is in the tree already.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer may be. A chain of certificates has some kilobytes.
const ANSWER_LENGTH_MAX: usize = 1024 * 1024;

/// The client. Cheap to clone.
#[derive(Clone)]
pub(super) struct Web(Result<reqwest::Client, std::sync::Arc<reqwest::Error>>);

impl Web {
    pub(super) fn new(tls: rustls::ClientConfig) -> Self {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            // RFC 8555 section 6.1 wants to be told who calls.
            .user_agent(concat!("heliostat/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build();
        Self(client.map_err(std::sync::Arc::new))
    }

    async fn ask(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let client = self.0.map_err(|error| Error::Other(Box::new(error)))?;
        let (parts, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| Error::Other(error.into()))?;
        let request = Request::from_parts(parts, body.to_bytes());
        let request = request.try_into().map_err(|error| other(&error))?;
        let mut response = client
            .execute(request)
            .await
            .map_err(|error| other(&error))?;
        let mut answer = http::Response::new(());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| other(&error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_LENGTH_MAX {
                return Err(Error::Str("the authority's answer is too long"));
            }
        }
        Ok(answer.map(|()| Full::new(Bytes::from(bytes))).into())
    }
}

/// reqwest's own text says little; its cause says what happened.
fn other(error: &reqwest::Error) -> Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Error::Other(cause.to_string().into())
}

impl HttpClient for Web {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().ask(request))
    }
}
