//! A device as the server sees one: it speaks HTTP, as the client SDKs do. Plain http to loopback is all it can.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::cli::failure::Failure;

/// How long an answer may take; on loopback it takes milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read, in bytes.
const ANSWER_LENGTH_MAX: usize = 1024 * 1024;

/// A request of a device.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) bearer: Option<&'a str>,
    pub(super) body: Option<Value>,
}

/// What the server said: status, and JSON if there was a body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) json: Value,
}

impl Call<'_> {
    /// Sends it on a connection of its own. Whatever is not a success is a failure of the demo.
    pub(super) async fn send(&self, server: SocketAddr) -> Result<Answer, Failure> {
        let what = format!("{} {}", self.method, self.path);
        let failed = |why: String| Failure::new(format!("the demo's request {what} failed: {why}"));
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.exchange(server))
            .await
            .map_err(|_| failed(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())))?
            .map_err(|error| failed(error.to_string()))?;
        if answer.status.is_success() {
            Ok(answer)
        } else {
            Err(failed(format!("status {}, {}", answer.status, answer.json)))
        }
    }

    async fn exchange(
        &self,
        server: SocketAddr,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = Request::builder()
            .method(&self.method)
            .uri(&self.path)
            .header(HOST, server.to_string());
        if let Some(bearer) = self.bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {bearer}"));
        }
        let body = match &self.body {
            Some(json) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(json.to_string())
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body))?;
        let stream = TcpStream::connect(server).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_LENGTH_MAX)
                .collect()
                .await?
                .to_bytes();
            Ok(Answer {
                status,
                json: serde_json::from_slice(&body).unwrap_or(Value::Null),
            })
        };
        // The connection moves only while it is polled; it is closed with the end of the exchange.
        tokio::select! {
            answer = exchange => answer,
            error = async { connection.await.err() } => match error {
                Some(error) => Err(error.into()),
                None => Err("the connection was closed".into()),
            },
        }
    }
}
