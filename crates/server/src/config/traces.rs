//! Traces: whether there are any, and whom they are told to.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use url::Url;

use super::ConfigError;
use super::raw::{invalid, set, within};

/// How many spans may wait at most.
const QUEUE_MAX: i64 = 1_000_000;
/// How long a header may be, name and value.
const HEADER_LENGTH_MAX: usize = 8192;

/// Where traces go. The values of headers are secrets, and are not shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// What spans are sent to: OTLP over HTTP.
    pub endpoint: Url,
    /// What goes with each request.
    pub headers: HeaderMap,
    /// The share of traces that are recorded of those that nobody has decided about, from 0 to 1.
    pub sample_ratio: f64,
    /// What this service is called in traces.
    pub service_name: String,
    /// How long the collector may take to answer.
    pub timeout: Duration,
    /// How many spans may wait for the collector.
    pub queue_max: usize,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawTraces {
    endpoint: String,
    headers: Vec<String>,
    sample_ratio: f64,
    service_name: String,
    timeout_secs: i64,
    queue_max: i64,
}

/// Checks the section; there are no traces without an endpoint.
pub(super) fn check(raw: &RawTraces) -> Result<Option<Traces>, ConfigError> {
    let headers = headers(&raw.headers)?;
    if !(0.0..=1.0).contains(&raw.sample_ratio) {
        return Err(invalid("traces.sample_ratio", "must be from 0 to 1"));
    }
    let timeout = within("traces.timeout_secs", raw.timeout_secs, 1, 300)?;
    let queue_max = within("traces.queue_max", raw.queue_max, 1, QUEUE_MAX)?;
    let service_name = set(&raw.service_name)
        .ok_or_else(|| invalid("traces.service_name", "must not be empty"))?;
    let Some(endpoint) = set(&raw.endpoint) else {
        return Ok(None);
    };
    Ok(Some(Traces {
        endpoint: url(endpoint)?,
        headers,
        sample_ratio: raw.sample_ratio,
        service_name: service_name.to_owned(),
        timeout: Duration::from_secs(timeout.unsigned_abs()),
        queue_max: usize::try_from(queue_max)
            .map_err(|_| invalid("traces.queue_max", "is too large"))?,
    }))
}

/// What may be a secret is not repeated in what is said of it.
fn url(text: &str) -> Result<Url, ConfigError> {
    let rule = "must be the http or https URL that takes traces, such as http://127.0.0.1:4318/v1/traces, without a password";
    let url = Url::parse(text).map_err(|_| invalid("traces.endpoint", rule))?;
    let is_fine = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none();
    is_fine
        .then_some(url)
        .ok_or_else(|| invalid("traces.endpoint", rule))
}

fn headers(given: &[String]) -> Result<HeaderMap, ConfigError> {
    let wrong = || {
        let rule = "must be a list of texts such as authorization=Bearer …, each a header's name and value";
        invalid("traces.headers", rule)
    };
    let mut headers = HeaderMap::new();
    for one in given {
        let (name, value) = one.split_once('=').ok_or_else(wrong)?;
        if one.len() > HEADER_LENGTH_MAX {
            return Err(wrong());
        }
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        let mut value: HeaderValue = value.trim().parse().map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}
