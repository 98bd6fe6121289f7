//! Reads a server's answers: bounded, and believed only if they are what a Beams server says.

use std::time::Duration;

use domain::publish::PublishId;
use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::{Error, Refusal};

/// The largest answer that is read, in bytes. Beams' answers have under 1 KiB.
const ANSWER_LENGTH_MAX: usize = 64 * 1024;

/// An answer that says it worked.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    publish_id: String,
}

#[derive(Deserialize)]
struct RefusalJson {
    error: String,
    description: String,
}

impl Answer {
    /// The body, which is JSON.
    pub(crate) fn json(&self) -> Result<Value, Error> {
        serde_json::from_slice(&self.body).map_err(|_| Error::UnexpectedAnswer {
            status: self.status.as_u16(),
            problem: "it is no JSON",
        })
    }
}

/// Sends a request and takes its answer; whatever is not a success becomes an error.
pub(crate) async fn read(request: RequestBuilder) -> Result<Answer, Error> {
    read_at_most(request, ANSWER_LENGTH_MAX).await
}

/// The same for an answer of at most `length_max` bytes.
pub(crate) async fn read_at_most(
    request: RequestBuilder,
    length_max: usize,
) -> Result<Answer, Error> {
    let (http, request) = request.build_split();
    let request = request.map_err(|source| transport(String::new(), source))?;
    let server = request.url().origin().ascii_serialization();
    let failed = |source: reqwest::Error| transport(server.clone(), source);
    let response = http.execute(request).await.map_err(&failed)?;
    let status = response.status();
    let retry_after = retry_after(&response);
    let body = read_body(response, length_max).await.map_err(&failed)?;
    let body = body.ok_or(Error::UnexpectedAnswer {
        status: status.as_u16(),
        problem: "it is too long",
    })?;
    if status.is_success() {
        return Ok(Answer { status, body });
    }
    Err(refusal(status, retry_after, &body))
}

/// The id in the answer to a publish.
pub(crate) fn publish_id(answer: &Answer) -> Result<PublishId, Error> {
    serde_json::from_slice::<Accepted>(&answer.body)
        .ok()
        .and_then(|accepted| PublishId::parse(&accepted.publish_id))
        .ok_or(Error::UnexpectedAnswer {
            status: answer.status.as_u16(),
            problem: "it has no publishId",
        })
}

/// The URL is left out of the error: a user id may stand in it.
fn transport(server: String, source: reqwest::Error) -> Error {
    Error::Transport {
        server,
        source: source.without_url(),
    }
}

/// The whole body, or `None` if it is too long.
async fn read_body(
    mut response: Response,
    length_max: usize,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > length_max {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

fn refusal(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Error {
    let json = serde_json::from_slice::<RefusalJson>(body).ok();
    // A proxy in front of the server answers 429 and 5xx in its own words.
    if json.is_none() && !(status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS) {
        return Error::UnexpectedAnswer {
            status: status.as_u16(),
            problem: "it is neither a success nor a Beams error",
        };
    }
    let refusal = Refusal {
        status: status.as_u16(),
        error: json.as_ref().map_or_else(
            || status.canonical_reason().unwrap_or("error").into(),
            |json| json.error.clone(),
        ),
        description: json.map_or_else(|| "no description".into(), |json| json.description),
    };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Auth(refusal),
        StatusCode::NOT_FOUND => Error::InstanceNotFound(refusal),
        StatusCode::TOO_MANY_REQUESTS => Error::TooManyRequests {
            retry_after,
            refusal,
        },
        status if status.is_client_error() => Error::Refused(refusal),
        _ => Error::Server(refusal),
    }
}
