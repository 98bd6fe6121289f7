//! What delivery counts, by the names that `/metrics` shows.

use std::time::Duration;

use domain::device::Platform;
use domain::outcome::OutcomeKind;
use store::publishes::Tally;

/// One attempt at a gateway ended.
pub(crate) fn attempt(platform: Platform, outcome: OutcomeKind, took: Duration) {
    let gateway = platform.as_str();
    metrics::histogram!("heliostat_gateway_attempt_seconds", "gateway" => gateway).record(took);
    metrics::counter!("heliostat_attempts_total", "gateway" => gateway, "outcome" => outcome.as_str()).increment(1);
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

/// Tells `/metrics` what the names mean.
pub fn describe() {
    use metrics::{Unit, describe_counter, describe_histogram};
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
