//! Far sides that flood with HTTP/2 frames, written byte by byte: RFC 9113 section 10.5 and the CVEs of its like.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::outcome::OutcomeKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::server::{Server, Tls};
use super::{WAYS, Way, channel, created, gateways, send, serve_h2};

/// Far more than a connection may make us read: 2 MiB, and 160 KiB for a request.
const FLOOD_MAX: usize = 16 << 20;
/// Generous: the flood must end long before.
const PATIENCE: Duration = Duration::from_secs(60);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Greets, waits for a request, then says `once` and repeats `again` until the connection ends or enough was written. Reads all
/// that comes meanwhile, so that nothing but the far end's own bounds holds it up. How much was written.
async fn flood(mut io: Tls, greeting: Vec<u8>, once: Vec<u8>, again: Vec<u8>) -> usize {
    let mut preface = [0; 24];
    if io.read_exact(&mut preface).await.is_err() || io.write_all(&greeting).await.is_err() {
        return 0;
    }
    let mut seen: Vec<u8> = Vec::new();
    // The head of a request: HEADERS on stream 1.
    while !seen
        .windows(6)
        .any(|six| six[0] == HEADERS && six[2..] == [0, 0, 0, 1])
    {
        let mut piece = [0; 4096];
        match io.read(&mut piece).await {
            Ok(length @ 1..) => seen.extend(&piece[..length]),
            _ => return 0,
        }
    }
    let (mut read, mut write) = tokio::io::split(io);
    let draining = async move {
        let mut piece = vec![0; 65536];
        while matches!(read.read(&mut piece).await, Ok(1..)) {}
    };
    let block = again.repeat(1 + 16384 / again.len().max(1));
    let writing = async move {
        let mut written = 0;
        if write.write_all(&once).await.is_err() {
            return written;
        }
        if again.is_empty() {
            std::future::pending::<()>().await;
        }
        while written < FLOOD_MAX {
            if write.write_all(&block).await.is_err() {
                break;
            }
            written += block.len();
        }
        written
    };
    tokio::select! {
        written = writing => written,
        () = draining => 0,
    }
}

/// A far side that floods gets nothing accepted and its connection ended, and does no harm to another one.
async fn floods(name: &str, greeting: Vec<u8>, once: Vec<u8>, again: Vec<u8>) {
    judge(name, OutcomeKind::Retry, greeting, once, again).await;
}

/// Whoever it is that sends there.
async fn judge(
    name: &str,
    expected: OutcomeKind,
    greeting: Vec<u8>,
    once: Vec<u8>,
    again: Vec<u8>,
) {
    let both = WAYS.map(|way| {
        let (greeting, once, again) = (greeting.clone(), once.clone(), again.clone());
        judge_way(way, name, expected, greeting, once, again)
    });
    futures_util::future::join_all(both).await;
}

async fn judge_way(
    way: Way,
    name: &str,
    expected: OutcomeKind,
    greeting: Vec<u8>,
    once: Vec<u8>,
    again: Vec<u8>,
) {
    let (tell, mut told) = mpsc::unbounded_channel();
    let is_endless = !again.is_empty();
    let hostile = Server::start(&[b"h2"], move |io| {
        let (tell, greeting, once, again) =
            (tell.clone(), greeting.clone(), once.clone(), again.clone());
        async move {
            let _ = tell.send(flood(io, greeting, once, again).await);
        }
    })
    .await;
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let good = Server::start(&[b"h2"], move |io| {
        let counted = Arc::clone(&counted);
        serve_h2(io, move |mut respond| {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(respond.send_response(created(), true));
        })
    })
    .await;
    let both = [hostile.ca_pem(), good.ca_pem()].concat();
    let gateways = gateways(&hostile, |config| config.extra_ca_pem = Some(both.into()));
    let channel = way.of(&gateways);
    let (flooded, other) = tokio::join!(
        send(&channel, hostile.address()),
        send(&channel, good.address())
    );
    assert_eq!(flooded.kind(), expected, "{way:?} {name}: {flooded:?}");
    assert_eq!(
        other.kind(),
        OutcomeKind::Accepted,
        "{way:?} {name}: {other:?}"
    );
    if is_endless {
        let written = tokio::time::timeout(PATIENCE, told.recv()).await;
        assert!(written.is_ok(), "{name}: the flood is still taken");
        let written = written.unwrap().unwrap();
        assert!(written < FLOOD_MAX, "{name}: {written} bytes were taken");
    }
    assert_eq!(
        send(&channel, good.address()).await.kind(),
        OutcomeKind::Accepted
    );
    assert_eq!(requests.load(Ordering::SeqCst), 2, "{name}");
}

fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

/// A setting and its value.
fn setting(id: u16, value: u32) -> Vec<u8> {
    let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &payload)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_without_end_end_the_connection() {
    floods("empty", settings(), Vec::new(), settings()).await;
    let many = [[0, 4, 0, 0, 255, 255]; 100].concat();
    floods("full", settings(), Vec::new(), frame(SETTINGS, 0, 0, &many)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_without_end_end_the_connection() {
    floods("pings", settings(), Vec::new(), frame(PING, 0, 0, &[7; 8])).await;
    floods(
        "answers",
        settings(),
        Vec::new(),
        frame(PING, 1, 0, &[7; 8]),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn continuations_without_end_end_the_connection() {
    let begun = frame(HEADERS, 0, 1, &[]);
    floods(
        "empty",
        settings(),
        begun.clone(),
        frame(CONTINUATION, 0, 1, &[]),
    )
    .await;
    // A literal header that is not to be indexed, again and again.
    let more = frame(
        CONTINUATION,
        0,
        1,
        &[b"\0\x01x\x7f\x01".to_vec(), vec![b'y'; 128]].concat(),
    );
    floods("headers", settings(), begun, more).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_and_promises_without_end_end_the_connection() {
    floods(
        "resets",
        settings(),
        Vec::new(),
        frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
    )
    .await;
    let promise = frame(PUSH_PROMISE, 4, 1, &[0, 0, 0, 2, 0x82]);
    floods("promises", settings(), Vec::new(), promise).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_nothing_without_end_ends_the_connection() {
    // `:status: 201`; what comes behind it does not hide it.
    let taken = frame(HEADERS, 4, 1, &[0x08, 3, b'2', b'0', b'1']);
    let nothing = frame(DATA, 0, 1, &[]);
    judge(
        "empty data",
        OutcomeKind::Accepted,
        settings(),
        taken,
        nothing,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn informational_answers_without_end_end_the_connection() {
    // `:status: 103`, and no other answer behind it.
    let hint = frame(HEADERS, 4, 1, &[0x08, 3, b'1', b'0', b'3']);
    floods("hints", settings(), Vec::new(), hint).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn games_with_windows_cost_the_far_side_alone() {
    // No window at all for bodies: the request waits, and no longer than a request may.
    floods("no window", setting(4, 0), Vec::new(), Vec::new()).await;
    // A window beyond the largest, and updates of nothing.
    floods(
        "overflow",
        settings(),
        frame(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]),
        Vec::new(),
    )
    .await;
    floods(
        "zero",
        settings(),
        frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        Vec::new(),
    )
    .await;
    floods(
        "updates",
        settings(),
        Vec::new(),
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
    )
    .await;
    // No streams at all: nobody is let in.
    let none = setting(3, 0);
    let hostile = Server::start(&[b"h2"], move |io| {
        let none = none.clone();
        async move {
            flood(io, none, Vec::new(), Vec::new()).await;
        }
    })
    .await;
    let outcome = send(&channel(&hostile), hostile.address()).await;
    assert_eq!(outcome.kind(), OutcomeKind::Retry);
}
