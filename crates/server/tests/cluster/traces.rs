//! One trace of a publish that one node accepts and others deliver.

use std::collections::BTreeSet;

use emulator::{Behaviour, Gateway};

use crate::collector::{Collector, Told};
use crate::postgres::Postgres;
use crate::program::until;
use crate::stage::{EVERYBODY, MASTER_KEY, Plot, SECRET_KEY, Stage};

const PLOT: Plot = Plot {
    devices: 200,
    page_length: 20,
    latency_ms: 100,
    lease_secs: 30,
};
/// How many of the devices have to be tried twice.
const STUMBLING: usize = 12;
/// The trace and the span of whoever asks for the publish.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const COLLECTORS_SECRET: &str = "Bearer the-collectors-own-secret";

/// The spans of the trace, of this name.
fn named(collector: &Collector, name: &str) -> Vec<Told> {
    let mut spans = collector.spans();
    spans.retain(|span| span.trace == TRACE && span.name == name);
    spans
}

/// The only one.
async fn only(collector: &Collector, name: &str) -> Told {
    until(name, async || named(collector, name).pop()).await;
    let mut all = named(collector, name);
    assert_eq!(all.len(), 1, "{name}");
    all.remove(0)
}

/// Deliveries that gateways took, by these spans.
fn accepted(spans: &[Told]) -> usize {
    let of = |span: &Told| {
        span.number("heliostat.apns.accepted") + span.number("heliostat.fcm.accepted")
    };
    usize::try_from(spans.iter().map(of).sum::<i64>()).unwrap()
}

/// Whether this is a page that a node had read when it was told to stop, and left to others.
fn stopped(page: &Told) -> bool {
    page.problem.as_deref() == Some("the node stops")
}

fn processes(spans: &[Told]) -> BTreeSet<&str> {
    spans.iter().map(|span| span.process.as_str()).collect()
}

/// A publish that one node accepts, the next begins to deliver, and a third finishes. Its id.
async fn published_by_three(stage: &Stage, collector: &Collector) -> String {
    let header = format!("authorization={COLLECTORS_SECRET}");
    let settings = [
        ("HELIOSTAT_TRACES_ENDPOINT", collector.url.as_str()),
        ("HELIOSTAT_TRACES_HEADERS", &header),
        ("HELIOSTAT_DELIVERY_IN_FLIGHT_MAX", "10"),
    ];
    let front = [
        ("HELIOSTAT_TRACES_SERVICE_NAME", "front"),
        ("HELIOSTAT_ROLES", "api"),
    ];
    let back = [
        ("HELIOSTAT_TRACES_SERVICE_NAME", "back"),
        ("HELIOSTAT_ROLES", "worker"),
    ];
    let (front, back) = (
        [&settings[..], &front].concat(),
        [&settings[..], &back].concat(),
    );
    let asked = stage.node_with(0, &front).await;
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    let publish = stage.publish_under(&traceparent).await.unwrap();
    assert_eq!(stage.report(&publish).await["state"], "running");

    // The first that delivers stops on the way; the second finds the rest.
    let first = stage.node_with(1, &back).await;
    stage.arrive(2 * PLOT.page_length).await;
    first.terminate();
    assert!(first.end().await.success());
    assert!(stage.receipts.copies() < PLOT.devices, "nothing was left");
    let second = stage.node_with(1, &back).await;
    stage.finished(std::slice::from_ref(&publish)).await;
    stage.judge(std::slice::from_ref(&publish), 0).await;
    // They tell all that they know before they end.
    for node in [asked, second] {
        node.terminate();
        assert!(node.end().await.success());
    }
    publish
}

/// The pages that were worked on to their end, and the retries, once everything is told.
async fn worked(collector: &Collector) -> (Vec<Told>, Vec<Told>) {
    until("all deliveries to be told", async || {
        let pages = named(collector, "publish.page");
        let (stopped, pages): (Vec<_>, Vec<_>) = pages.into_iter().partition(stopped);
        assert!(stopped.len() <= 1, "{stopped:?}");
        let retries = named(collector, "publish.retries");
        (accepted(&pages) + accepted(&retries) >= PLOT.devices).then_some((pages, retries))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_accepts_and_others_deliver_is_one_trace() {
    let collector = Collector::start().await;
    let postgres = Postgres::start().await;
    let stage = Stage::set(PLOT, &postgres.url()).await;
    for number in 0..STUMBLING {
        let error = Behaviour::ServerError {
            status: Some(503),
            retry_after_s: None,
        };
        let token = format!("{:064x}", number * 2);
        stage
            .emulators
            .set_behaviour_times(Gateway::Apns, Some(&token), error, 1)
            .unwrap();
    }
    let publish = published_by_three(&stage, &collector).await;

    let request = "POST /publish_api/v1/instances/{instance}/publishes/interests";
    let request = only(&collector, request).await;
    assert_eq!(request.parent, CALLER);
    let accept = only(&collector, "publish.accept").await;
    assert_eq!(
        (&accept.parent, &accept.process),
        (&request.id, &request.process)
    );
    assert_eq!(accept.service, "front");
    let (pages, retries) = worked(&collector).await;
    assert_eq!(accepted(&pages), PLOT.devices - STUMBLING);
    assert_eq!(accepted(&retries), STUMBLING);
    assert!(pages.len() >= PLOT.devices / PLOT.page_length);
    assert_eq!(processes(&pages).len(), 2);
    assert!(!processes(&pages).contains(accept.process.as_str()));
    let parts = ["publish.send", "publish.settle"].map(|part| named(&collector, part));
    for work in pages.iter().chain(&retries) {
        assert_eq!((&work.parent, work.service.as_str()), (&accept.id, "back"));
        assert_eq!(work.text("heliostat.publish").as_ref(), Some(&publish));
        for parts in &parts {
            assert!(parts.iter().any(|part| part.parent == work.id), "{work:?}");
        }
    }
    for (proof, kind) in collector.headers() {
        assert_eq!(proof, COLLECTORS_SECRET);
        assert_eq!(kind, "application/x-protobuf");
    }
    for secret in [
        COLLECTORS_SECRET,
        SECRET_KEY,
        MASTER_KEY,
        EVERYBODY,
        "android-",
        "Hello",
    ] {
        assert!(!collector.was_told(secret), "{secret}");
    }
    stage.strike().await;
}
