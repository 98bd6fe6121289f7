//! One trace from a request to publish to every page of its fan-out, told to a real receiver of OTLP; through a crash, and
//! without harm where the receiver is down or hangs.

use std::collections::BTreeSet;

use tokio::net::TcpListener;

use crate::collector::{Collector, Told};
use crate::program::{Server, until};
use crate::stage::{EVERYBODY, Fate, Plot, SECRET_KEY, Stage};

const PLOT: Plot = Plot {
    devices: 200,
    page_length: 20,
    latency_ms: 100,
    stumbling: 50,
    failing: 0,
};
/// What the caller's own span is called, as in the example of W3C Trace Context.
const CALLER: &str = "00f067aa0ba902b7";
const COLLECTORS_SECRET: &str = "Bearer the-collectors-own-secret";

/// The header of a request under the caller's span, in the trace of this number.
fn traceparent(trace: u128, flags: &str) -> String {
    format!("00-{trace:032x}-{CALLER}-{flags}")
}

async fn traced(stage: &mut Stage, server: Server, endpoint: &str) -> Server {
    server.kill();
    stage.with_setting("HELIOSTAT_TRACES_ENDPOINT", endpoint);
    let header = format!("authorization={COLLECTORS_SECRET}");
    stage.with_setting("HELIOSTAT_TRACES_HEADERS", header);
    stage.with_setting("HELIOSTAT_TRACES_SERVICE_NAME", "pushes");
    stage.serve().await
}

/// The spans of a trace, of this name.
fn named(collector: &Collector, trace: u128, name: &str) -> Vec<Told> {
    let trace = format!("{trace:032x}");
    let spans = collector.spans().into_iter();
    spans
        .filter(|span| span.trace == trace && span.name == name)
        .collect()
}

/// The only one.
async fn only(collector: &Collector, trace: u128, name: &str) -> Told {
    until(name, async || named(collector, trace, name).pop()).await;
    let mut all = named(collector, trace, name);
    assert_eq!(all.len(), 1, "{name}");
    all.remove(0)
}

const REQUEST: &str = "POST /publish_api/v1/instances/{instance}/publishes/interests";

/// The chain from the caller to what the work stands under.
async fn accepted(collector: &Collector, trace: u128, publish: &str) -> Told {
    let request = only(collector, trace, REQUEST).await;
    assert_eq!(request.parent, CALLER);
    assert_eq!(request.number("http.response.status_code"), 200);
    let accept = only(collector, trace, "publish.accept").await;
    assert_eq!(accept.parent, request.id);
    assert_eq!(accept.text("heliostat.publish").as_deref(), Some(publish));
    accept
}

/// Deliveries of these spans by what the spans say of their ends.
fn ends(spans: &[Told]) -> i64 {
    let of = |span: &Told| -> i64 {
        let ends = ["apns.accepted", "fcm.accepted", "retries"];
        ends.iter()
            .map(|end| span.number(&format!("heliostat.{end}")))
            .sum()
    };
    spans.iter().map(of).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_request_to_every_page_of_its_publish() {
    let collector = Collector::start().await;
    let (mut stage, server) = Stage::set(&PLOT).await;
    let server = traced(&mut stage, server, &collector.url).await;
    let (recorded, unrecorded) = (0xa1, 0xa2);
    let not = stage.publish_under(&server, Some(&traceparent(unrecorded, "00")));
    not.await.unwrap();
    stage.settled(&server).await;
    stage.reset(&server, &PLOT).await;
    let publish = stage.publish_under(&server, Some(&traceparent(recorded, "01")));
    let publish = publish.await.unwrap();
    stage.settled(&server).await;

    let accept = accepted(&collector, recorded, &publish).await;
    assert_eq!(accept.service, "pushes");
    let devices = i64::try_from(PLOT.devices).unwrap();
    let pages = until("all pages to be told", async || {
        let pages = named(&collector, recorded, "publish.page");
        (ends(&pages) >= devices).then_some(pages)
    })
    .await;
    assert!(pages.len() >= PLOT.devices / PLOT.page_length);
    assert_eq!(ends(&pages), devices);
    let deliveries: i64 = pages.iter().map(|p| p.number("heliostat.deliveries")).sum();
    assert_eq!(deliveries, devices);
    let stumbled = i64::try_from(PLOT.count(Fate::Stumbles)).unwrap();
    let retries = until("all retries to be told", async || {
        let retries = named(&collector, recorded, "publish.retries");
        (ends(&retries) >= stumbled).then_some(retries)
    })
    .await;
    for work in pages.iter().chain(&retries) {
        assert_eq!(work.problem, None);
        assert_eq!(work.parent, accept.id);
        assert_eq!(work.text("heliostat.publish").as_ref(), Some(&publish));
    }
    for (part, whole) in [
        ("publish.read", &pages),
        ("publish.send", &pages),
        ("publish.settle", &pages),
        ("publish.send", &retries),
        ("publish.settle", &retries),
    ] {
        let parts = named(&collector, recorded, part);
        let parents: BTreeSet<_> = parts.iter().map(|part| &part.parent).collect();
        for work in whole {
            assert!(parents.contains(&work.id), "{part} of {work:?}");
        }
    }
    let unrecorded = format!("{unrecorded:032x}");
    assert!(collector.spans().iter().all(|s| s.trace != unrecorded));
    tells_no_secrets(&collector, &server);
    server.kill();
    stage.strike().await;
}

/// What is spans' business is in them, and nothing else.
fn tells_no_secrets(collector: &Collector, server: &Server) {
    for (proof, kind) in collector.headers() {
        assert_eq!(proof, COLLECTORS_SECRET);
        assert_eq!(kind, "application/x-protobuf");
    }
    let token_of_an_iphone = format!("{:064x}", 2);
    for secret in [
        "android-",
        &token_of_an_iphone,
        "Hello",
        SECRET_KEY,
        COLLECTORS_SECRET,
        EVERYBODY,
    ] {
        assert!(!collector.was_told(secret), "{secret}");
    }
    assert!(!server.log().contains(COLLECTORS_SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_after_a_crash() {
    let collector = Collector::start().await;
    let (mut stage, server) = Stage::set(&PLOT).await;
    stage.with_setting("HELIOSTAT_DELIVERY_IN_FLIGHT_MAX", "10");
    let server = traced(&mut stage, server, &collector.url).await;
    let trace = 0xb1;
    let publish = stage.publish_under(&server, Some(&traceparent(trace, "01")));
    let publish = publish.await.unwrap();
    // What a process had not told yet when it was killed, nobody knows; so far it has told how it began.
    let accept = accepted(&collector, trace, &publish).await;
    server.kill();
    let before = stage.receipts.copies();
    assert!(before < PLOT.devices, "nothing was left to do: {before}");

    let server = stage.serve().await;
    stage.settled(&server).await;
    let last = until("the last page to be told", async || {
        let mut pages = named(&collector, trace, "publish.page");
        pages.retain(|page| page.process != accept.process);
        (ends(&pages) > 0 && count(&stage, &server, "exported").await > pages.len() as u64)
            .then_some(pages)
    })
    .await;
    let left = i64::try_from(PLOT.devices - before).unwrap();
    let pages = until("all that was left to be told", async || {
        let mut pages = named(&collector, trace, "publish.page");
        pages.retain(|page| page.process != accept.process);
        (ends(&pages) >= left).then_some(pages)
    })
    .await;
    assert!(pages.len() >= last.len() && pages.len() > 1);
    for page in pages {
        assert_eq!(page.parent, accept.id);
        assert_eq!(page.text("heliostat.publish").as_ref(), Some(&publish));
    }
    server.kill();
    stage.strike().await;
}

/// How many spans had this end, by `/metrics`.
async fn count(stage: &Stage, server: &Server, outcome: &str) -> u64 {
    let url = format!("{}/metrics", server.url);
    let text = stage.http.get(url).send().await.unwrap().text();
    let text = text.await.unwrap();
    let name = format!("heliostat_trace_spans_total{{outcome=\"{outcome}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    value.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_costs_spans_and_nothing_else() {
    // Takes connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let plot = Plot {
        devices: 40,
        page_length: 10,
        latency_ms: 0,
        stumbling: 100,
        failing: 0,
    };
    let (mut stage, server) = Stage::set(&plot).await;
    stage.with_setting("HELIOSTAT_TRACES_QUEUE_MAX", "8");
    stage.with_setting("HELIOSTAT_TRACES_TIMEOUT_SECS", "300");
    let server = traced(&mut stage, server, &endpoint).await;
    until("spans to be dropped", async || {
        stage.publish(&server).await.unwrap();
        (count(&stage, &server, "dropped").await > 0).then_some(())
    })
    .await;
    stage.settled(&server).await;
    assert_eq!(count(&stage, &server, "exported").await, 0);
    // With a collector that may take five minutes to answer, a stop waits seconds.
    server.terminate();
    assert!(server.end().await.success());
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_down_is_logged_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    drop(listener);
    let plot = Plot {
        devices: 10,
        page_length: 10,
        latency_ms: 0,
        stumbling: 100,
        failing: 0,
    };
    let (mut stage, server) = Stage::set(&plot).await;
    let server = traced(&mut stage, server, &endpoint).await;
    let mut so_far = 0;
    for _ in 0..2 {
        stage.publish(&server).await.unwrap();
        so_far = until("spans to be given up", async || {
            let dropped = count(&stage, &server, "dropped").await;
            (dropped > so_far).then_some(dropped)
        })
        .await;
    }
    let log = server.log();
    assert_eq!(log.matches("does not take traces").count(), 1, "{log}");
    server.kill();
    stage.strike().await;
}
