//! A collector of traces: takes OTLP over HTTP and keeps what it was told.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

/// A span as it was told, with whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) name: String,
    /// The process that told it.
    pub(crate) process: String,
    pub(crate) service: String,
    /// Why it came to nothing, if it did.
    pub(crate) problem: Option<String>,
    attributes: Vec<KeyValue>,
}

impl Told {
    /// An attribute as a text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        text(&self.attributes, name)
    }

    /// An attribute as a number; 0 if it is not there.
    pub(crate) fn number(&self, name: &str) -> i64 {
        self.text(name).map_or(0, |text| text.parse().unwrap())
    }
}

fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    let AnyValue { value } = found.value.clone()?;
    Some(match value? {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(flag) => flag.to_string(),
        other => panic!("{name}: {other:?}"),
    })
}

#[derive(Default)]
struct Kept {
    spans: Vec<Told>,
    /// The bodies of all requests behind one another.
    bytes: Vec<u8>,
    /// What requests proved themselves with, and what they said their body is.
    headers: Vec<(String, String)>,
}

/// A collector that runs until the test ends.
#[derive(Clone)]
pub(crate) struct Collector {
    kept: Arc<Mutex<Kept>>,
    tasks: TaskTracker,
    /// Where it takes traces.
    pub(crate) url: String,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::<Mutex<Kept>>::default();
        let this = Self {
            kept: Arc::clone(&kept),
            tasks: TaskTracker::new(),
            url: format!("http://{address}/v1/traces"),
        };
        let tasks = this.tasks.clone();
        this.tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let kept = Arc::clone(&kept);
                tasks.spawn(async move {
                    let service = service_fn(move |request| take(Arc::clone(&kept), request));
                    // A server that is killed breaks its connection.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        this
    }

    pub(crate) fn spans(&self) -> Vec<Told> {
        self.kept.lock().unwrap().spans.clone()
    }

    /// Whether these bytes were among what it was told.
    pub(crate) fn was_told(&self, text: &str) -> bool {
        let kept = self.kept.lock().unwrap();
        let mut places = kept.bytes.windows(text.len());
        places.any(|some| some == text.as_bytes())
    }

    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        self.kept.lock().unwrap().headers.clone()
    }
}

async fn take(
    kept: Arc<Mutex<Kept>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/v1/traces");
    let header = |name: &str| {
        let value = request.headers().get(name);
        value.map_or("", |value| value.to_str().unwrap()).to_owned()
    };
    let headers = (header("authorization"), header("content-type"));
    let Ok(body) = request.into_body().collect().await else {
        return Ok(Response::default());
    };
    let body = body.to_bytes();
    let told = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    let mut kept = kept.lock().unwrap();
    kept.bytes.extend_from_slice(&body);
    kept.headers.push(headers);
    for of_resource in told.resource_spans {
        let resource = of_resource.resource.unwrap().attributes;
        let (process, service) = (
            text(&resource, "service.instance.id").unwrap(),
            text(&resource, "service.name").unwrap(),
        );
        for span in of_resource.scope_spans.into_iter().flat_map(|s| s.spans) {
            assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
            kept.spans.push(Told {
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                name: span.name,
                process: process.clone(),
                service: service.clone(),
                problem: span
                    .status
                    .filter(|status| status.code() == StatusCode::Error)
                    .map(|status| status.message),
                attributes: span.attributes,
            });
        }
    }
    Ok(Response::default())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
