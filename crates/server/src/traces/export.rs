//! OTLP over HTTP with protobuf bodies (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP"), through the HTTP client that is in
//! the tree already.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message as _;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::count;
use crate::config::Traces as Settings;

/// How many spans go in one request. A span has well under 1 KiB.
const BATCH_MAX: usize = 512;
/// How long spans wait for others to go with them.
const GATHER: Duration = Duration::from_secs(1);
/// How often a batch is tried, and for how long the first pause is; each is twice the one before.
const TRIES_MAX: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);
/// How much of an answer is read.
const ANSWER_LENGTH_MAX: usize = 64 * 1024;

/// Why the collector did not take spans.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    #[error("no answer: {0}")]
    NoAnswer(String),
    #[error("it answered {0}")]
    Refused(StatusCode),
}

impl ExportError {
    /// Whether the same request may be taken later (OTLP/HTTP, "Retryable Response Codes").
    fn is_passing(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::Refused(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
        }
    }
}

/// Whom spans are told to.
pub(super) struct Collector {
    client: Option<reqwest::Client>,
    endpoint: Url,
    headers: HeaderMap,
    resource: ResourceAttributesWithSchema,
    /// Whether the last batch was refused, so that trouble is logged once.
    is_failing: bool,
}

impl Collector {
    pub(super) fn new(settings: &Settings, resource: &Resource, tls: rustls::ClientConfig) -> Self {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("heliostat/", env!("CARGO_PKG_VERSION")))
            .timeout(settings.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build();
        let client = client
            .inspect_err(|error| tracing::error!(%error, "traces cannot be sent"))
            .ok();
        let mut headers = settings.headers.clone();
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        headers.insert(header::CONTENT_TYPE, protobuf);
        Self {
            client,
            endpoint: settings.endpoint.clone(),
            headers,
            resource: ResourceAttributesWithSchema::from(resource),
            is_failing: false,
        }
    }

    /// Sends what ends until it is to stop, then what is left. Whoever stops it bounds how long that takes.
    pub(super) async fn run(mut self, mut spans: Receiver<SpanData>, stopping: CancellationToken) {
        let mut batch = Vec::new();
        while self.gather(&mut spans, &mut batch, &stopping).await {
            self.deliver(std::mem::take(&mut batch), &stopping).await;
        }
    }

    /// Waits for a batch. Whether there is one: none comes after the last, once it is to stop.
    async fn gather(
        &self,
        spans: &mut Receiver<SpanData>,
        batch: &mut Vec<SpanData>,
        stopping: &CancellationToken,
    ) -> bool {
        tokio::select! {
            biased;
            taken = spans.recv_many(batch, BATCH_MAX) => if taken == 0 { return false },
            () = stopping.cancelled() => return false,
        }
        let more = async {
            while batch.len() < BATCH_MAX {
                let room = BATCH_MAX - batch.len();
                if spans.recv_many(batch, room).await == 0 {
                    break;
                }
            }
        };
        tokio::select! {
            biased;
            () = more => {}
            () = stopping.cancelled() => {}
            () = tokio::time::sleep(GATHER) => {}
        }
        true
    }

    /// Sends a batch, a few times if need be, and counts what became of it.
    async fn deliver(&mut self, batch: Vec<SpanData>, stopping: &CancellationToken) {
        let spans = batch.len();
        let unsettled = Unsettled(spans);
        let request = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(batch, &self.resource),
        };
        let body = bytes::Bytes::from(request.encode_to_vec());
        let mut tried = 0;
        let result = loop {
            let result = self.send(body.clone()).await;
            tried += 1;
            match &result {
                Err(error) if error.is_passing() && tried < TRIES_MAX => {
                    let pause = PAUSE * 2_u32.pow(tried - 1);
                    tokio::select! {
                        biased;
                        // There is no time for another try.
                        () = stopping.cancelled() => break result,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
                _ => break result,
            }
        };
        match result {
            Ok(refused) => {
                let refused = refused.min(spans);
                unsettled.settle(refused);
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("the collector takes traces again");
                }
            }
            Err(error) => {
                unsettled.settle(spans);
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(%error, "the collector does not take traces; spans are dropped until it does");
                }
            }
        }
    }

    /// Sends a request. How many of its spans the collector refused.
    async fn send(&self, body: bytes::Bytes) -> Result<usize, ExportError> {
        let failed = |error: reqwest::Error| ExportError::NoAnswer(cause(&error));
        let client = self.client.as_ref();
        let client = client.ok_or_else(|| ExportError::NoAnswer("there is no client".into()))?;
        let request = client
            .post(self.endpoint.clone())
            .headers(self.headers.clone())
            .body(body);
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            return Err(ExportError::Refused(status));
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            answer.extend_from_slice(&chunk);
            if answer.len() > ANSWER_LENGTH_MAX {
                break;
            }
        }
        // What does not read says nothing: the spans were taken.
        let answer = ExportTraceServiceResponse::decode(answer.as_slice()).unwrap_or_default();
        let refused = answer.partial_success.map_or(0, |part| part.rejected_spans);
        Ok(usize::try_from(refused).unwrap_or(0))
    }
}

/// reqwest's own text has the URL; its cause says what happened.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if error.is_timeout() {
        "it took too long".to_owned()
    } else {
        cause.to_string()
    }
}

/// Spans of a batch whose fate is open; dropped with it, they count as dropped.
struct Unsettled(usize);

impl Unsettled {
    fn settle(mut self, dropped: usize) {
        count("exported", self.0 - dropped);
        self.0 = dropped;
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        count("dropped", self.0);
    }
}
