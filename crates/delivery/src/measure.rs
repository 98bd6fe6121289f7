//! What delivery counts, by the names that `/metrics` shows.

use std::fmt;
use std::time::Duration;

use domain::device::Platform;
use domain::outcome::OutcomeKind;
use domain::webhook::EventType;
use metrics::{Counter, Histogram};
use store::publishes::Tally;
use store::webhooks::Next;

/// Counts attempts. Looking a metric up by its labels costs more than counting, so each is looked up once.
pub(crate) struct Attempts {
    /// By platform.
    seconds: [Histogram; Platform::ALL.len()],
    /// By platform, then outcome.
    total: [[Counter; OutcomeKind::ALL.len()]; Platform::ALL.len()],
}

impl Attempts {
    pub(crate) fn new() -> Self {
        Self {
            seconds: Platform::ALL.map(|platform| {
                metrics::histogram!("heliostat_gateway_attempt_seconds", "gateway" => platform.as_str())
            }),
            total: Platform::ALL.map(|platform| {
                OutcomeKind::ALL.map(|outcome| {
                    metrics::counter!(
                        "heliostat_attempts_total",
                        "gateway" => platform.as_str(), "outcome" => outcome.as_str()
                    )
                })
            }),
        }
    }

    /// One attempt ended.
    pub(crate) fn record(&self, platform: Platform, outcome: OutcomeKind, took: Duration) {
        self.seconds[platform as usize].record(took);
        self.total[platform as usize][outcome as usize].increment(1);
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempts(…)")
    }
}

/// Deliveries had their end.
pub(crate) fn deliveries(tallies: &[Tally]) {
    for tally in tallies {
        let labels = [
            ("gateway", tally.platform.as_str()),
            ("outcome", tally.outcome.as_str()),
        ];
        metrics::counter!("heliostat_deliveries_total", &labels).increment(tally.count);
    }
}

/// A publish was accepted.
pub(crate) fn publish(audience: &'static str) {
    metrics::counter!("heliostat_publishes_total", "audience" => audience).increment(1);
}

/// Devices were removed because their gateway tokens died.
pub(crate) fn dead_devices(count: usize) {
    metrics::counter!("heliostat_dead_devices_total").increment(count as u64);
}

/// Counters that seldom count stand at zero from the start: an alert on their growth sees none in a series that begins with one.
pub fn begin_at_zero() {
    let _ = Attempts::new();
    for platform in Platform::ALL {
        for outcome in OutcomeKind::ALL {
            // No delivery ends with a retry.
            if outcome != OutcomeKind::Retry {
                let labels = [
                    ("gateway", platform.as_str()),
                    ("outcome", outcome.as_str()),
                ];
                metrics::counter!("heliostat_deliveries_total", &labels).increment(0);
            }
        }
    }
    for audience in ["interests", "users", "failures"] {
        metrics::counter!("heliostat_publishes_total", "audience" => audience).increment(0);
    }
    dead_devices(0);
    metrics::counter!("heliostat_webhooks_disabled_total").increment(0);
    let _ = metrics::histogram!("heliostat_webhook_attempt_seconds");
    for event in EventType::CHOICES {
        for outcome in ["delivered", "failed"] {
            let labels = [("event", event.as_str()), ("outcome", outcome)];
            metrics::counter!("heliostat_webhook_requests_total", &labels).increment(0);
        }
    }
    for outcome in ["taken", "failed"] {
        metrics::counter!("heliostat_webhook_attempts_total", "outcome" => outcome).increment(0);
    }
}

/// An attempt at a webhook ended.
pub(crate) fn webhook_attempt(taken: bool, took: Duration) {
    let outcome = if taken { "taken" } else { "failed" };
    metrics::counter!("heliostat_webhook_attempts_total", "outcome" => outcome).increment(1);
    metrics::histogram!("heliostat_webhook_attempt_seconds").record(took);
}

/// A request to a webhook had its end, unless it is tried again.
pub(crate) fn webhook_request(event: EventType, next: Next) {
    let outcome = match next {
        Next::Again(_) => return,
        Next::Delivered => "delivered",
        Next::GiveUp => "failed",
    };
    let labels = [("event", event.as_str()), ("outcome", outcome)];
    metrics::counter!("heliostat_webhook_requests_total", &labels).increment(1);
}

/// A webhook failed for too long.
pub(crate) fn webhook_disabled() {
    metrics::counter!("heliostat_webhooks_disabled_total").increment(1);
}

/// Tells `/metrics` what the names mean.
pub fn describe() {
    use metrics::{Unit, describe_counter, describe_histogram};
    describe_counter!(
        "heliostat_webhook_attempts_total",
        "Attempts at webhooks, by whether the receiver took the request."
    );
    describe_histogram!(
        "heliostat_webhook_attempt_seconds",
        Unit::Seconds,
        "How long receivers of webhooks took to answer."
    );
    describe_counter!(
        "heliostat_webhook_requests_total",
        "Requests to webhooks that were delivered or given up, by event."
    );
    describe_counter!(
        "heliostat_webhooks_disabled_total",
        "Webhooks that were disabled since they failed for too long."
    );
    describe_counter!(
        "heliostat_publishes_total",
        "Publishes accepted, by audience."
    );
    describe_counter!(
        "heliostat_deliveries_total",
        "Deliveries that had their end, by gateway and outcome."
    );
    describe_counter!(
        "heliostat_attempts_total",
        "Attempts at gateways, by gateway and outcome."
    );
    describe_counter!(
        "heliostat_dead_devices_total",
        "Gateway tokens that gateways declared dead."
    );
    describe_histogram!(
        "heliostat_gateway_attempt_seconds",
        Unit::Seconds,
        "How long gateways took to answer an attempt."
    );
}
