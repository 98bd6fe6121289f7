//! Far sides that lead elsewhere: by redirects, and by names whose addresses are not what they seem.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::outcome::{Outcome, OutcomeKind};
use gateway::Resolver;
use http::Response;
use tokio::net::TcpListener;

use super::server::Server;
use super::{WAYS, Way, created, gateways, send, serve_h2};

/// Answers as it was told, one answer for each question, the last one for all further ones.
#[derive(Debug)]
struct Told {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Told {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|at| at.parse().unwrap()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(parse).collect()),
            asked: AtomicUsize::new(0),
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Resolver for Told {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        assert_eq!(host, "push.test");
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        };
        let found = answer.unwrap_or_default().into_iter();
        Ok(found.map(|at| SocketAddr::new(at, port)).collect())
    }
}

/// A server that counts its connections and takes everything, each connection for one request.
async fn counting() -> (Server, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let server = Server::start(&[b"h2"], move |io| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut connection = h2::server::handshake(io).await.unwrap();
            if let Some(Ok((_, mut respond))) = connection.accept().await {
                drop(respond.send_response(created(), true));
            }
            connection.graceful_shutdown();
            while connection.accept().await.is_some() {}
        }
    })
    .await;
    (server, connections)
}

/// Whether anybody has knocked.
async fn is_untouched(listener: &TcpListener) -> bool {
    let none = std::time::Duration::ZERO;
    tokio::time::timeout(none, listener.accept()).await.is_err()
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("https://{}/push", inside.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    for status in [300, 301, 302, 303, 307, 308] {
        let (location, counted) = (location.clone(), Arc::clone(&requests));
        let server = Server::start(&[b"h2"], move |io| {
            let (location, counted) = (location.clone(), Arc::clone(&counted));
            serve_h2(io, move |mut respond| {
                counted.fetch_add(1, Ordering::SeqCst);
                let leading = Response::builder()
                    .status(status)
                    .header("location", &location)
                    .header("refresh", format!("0; url={location}"));
                drop(respond.send_response(leading.body(()).unwrap(), true));
            })
        })
        .await;
        for way in WAYS {
            requests.store(0, Ordering::SeqCst);
            let sender = way.of(&gateways(&server, |_| {}));
            let outcome = send(&sender, server.address()).await;
            assert_ne!(outcome.kind(), OutcomeKind::Accepted, "{way:?} {status}");
            assert_eq!(requests.load(Ordering::SeqCst), 1, "{way:?} {status}");
            assert!(is_untouched(&inside).await, "{way:?} {status}");
        }
    }
}

#[tokio::test]
async fn a_name_with_one_address_inside_is_not_connected_to() {
    let (server, connections) = counting().await;
    // 127.0.0.0/8 is excepted for the test's sake; the others are not public, in several ways to write it.
    for other in [
        "10.0.0.1",
        "169.254.169.254",
        "::1",
        "::ffff:10.0.0.1",
        "fd00::1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
    ] {
        for answer in [["127.0.0.1", other], [other, "127.0.0.1"]] {
            for way in WAYS {
                let told = Told::new(&[&answer]);
                let resolver = Arc::clone(&told);
                let sender = way.of(&gateways(&server, |config| config.resolver = resolver));
                let to = format!("push.test:{}", server.address().port());
                let outcome = sender.send_to(&to).await;
                assert_ne!(outcome.kind(), OutcomeKind::Accepted, "{way:?} {answer:?}");
                assert_eq!(told.asked(), 1, "{way:?} {answer:?}");
            }
        }
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_address_after_the_check_is_reached_where_it_was_checked() {
    for way in WAYS {
        let (server, connections) = counting().await;
        let inside = TcpListener::bind(("::1", server.address().port())).await;
        // Checked as one address, another one for whoever would ask again to connect.
        let told = Told::new(&[&["127.0.0.1"], &["::1"]]);
        let resolver = Arc::clone(&told);
        let sender = way.of(&gateways(&server, |config| config.resolver = resolver));
        let to = format!("push.test:{}", server.address().port());
        assert_eq!(sender.send_to(&to).await, Outcome::Accepted, "{way:?}");
        assert_eq!(
            told.asked(),
            1,
            "{way:?}: nobody asks between the check and the connection"
        );
        assert_eq!(connections.load(Ordering::SeqCst), 1, "{way:?}");
        // The next connection is checked anew: it is the second answer's turn, which leads inside.
        let refused = sender.send_to(&to).await;
        assert_ne!(refused.kind(), OutcomeKind::Accepted, "{way:?}");
        assert_eq!(told.asked(), 2, "{way:?}");
        assert_eq!(connections.load(Ordering::SeqCst), 1, "{way:?}");
        if let Ok(inside) = inside {
            assert!(is_untouched(&inside).await, "{way:?}");
        }
    }
}

/// Webhooks may go without TLS to the operator's exceptions, and there alone, whatever a name says once it is looked up.
#[tokio::test]
async fn a_plain_webhook_is_not_led_out_of_the_exceptions() {
    let (server, connections) = counting().await;
    for answer in [
        &["::1"][..],
        &["8.8.8.8"],
        &["127.0.0.1", "8.8.8.8"],
        &["10.0.0.1", "127.0.0.1"],
        &["127.0.0.1", "::ffff:10.0.0.1"],
    ] {
        let told = Told::new(&[answer]);
        let resolver = Arc::clone(&told);
        let sender = Way::Webhook.of(&gateways(&server, |config| config.resolver = resolver));
        let to = format!("http://push.test:{}/push", server.address().port());
        let outcome = sender.send_to(&to).await;
        assert_eq!(outcome, Outcome::retry("address_not_allowed"), "{answer:?}");
    }
    for to in [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "https://10.0.0.1/",
        "ftp://127.0.0.1/",
    ] {
        let sender = Way::Webhook.of(&gateways(&server, |_| {}));
        let outcome = sender.send_to(to).await;
        assert_eq!(outcome, Outcome::retry("address_not_allowed"), "{to}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn no_compression_is_asked_for_or_undone() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let server = Server::start(&[b"h2"], move |io| {
        let seen = Arc::clone(&seen);
        async move {
            let mut connection = h2::server::handshake(io).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let names = request.headers().keys().map(|name| name.to_string());
                seen.lock().unwrap().extend(names);
                // Ten bytes that would be a gigabyte, if anybody believed them.
                let bomb = Response::builder()
                    .status(201)
                    .header("content-encoding", "gzip");
                let mut body = respond
                    .send_response(bomb.body(()).unwrap(), false)
                    .unwrap();
                drop(body.send_data(
                    bytes::Bytes::from_static(b"\x1f\x8b\x08\0\0\0\0\0\0\x03"),
                    true,
                ));
            }
        }
    })
    .await;
    for (way, own) in WAYS.into_iter().zip(["ttl", "webhook-id"]) {
        let sender = way.of(&gateways(&server, |_| {}));
        let outcome = send(&sender, server.address()).await;
        assert_eq!(outcome, Outcome::Accepted, "{way:?}");
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        assert!(asked.iter().any(|name| name == own), "{way:?}: {asked:?}");
        assert!(
            !asked.iter().any(|name| name == "accept-encoding"),
            "{way:?}: {asked:?}"
        );
    }
}

/// At a connection, as at registration: what is excepted for webhooks is closed to whoever subscribes.
#[tokio::test]
async fn an_exception_for_webhooks_lets_no_delivery_in() {
    let (server, connections) = counting().await;
    let named = Told::new(&[&["127.0.0.1"]]);
    let gateways = gateways(&server, |config| {
        config.outbound_allow_webhooks = std::mem::take(&mut config.outbound_allow);
        config.resolver = Arc::<Told>::clone(&named);
    });
    let push = Way::Push.of(&gateways);
    let refused = Outcome::rejected("endpoint_not_allowed");
    assert_eq!(send(&push, server.address()).await, refused);
    assert_eq!(push.send_to("push.test").await, refused);
    assert_eq!(named.asked(), 1, "a name passes until it is looked up");
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    let webhook = Way::Webhook.of(&gateways);
    assert_eq!(send(&webhook, server.address()).await, Outcome::Accepted);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_denied_is_not_connected_to_though_it_is_allowed() {
    let (server, connections) = counting().await;
    for answer in ["127.0.0.1", "::ffff:127.0.0.1"] {
        for way in WAYS {
            let told = Told::new(&[&[answer]]);
            let resolver = Arc::clone(&told);
            let sender = way.of(&gateways(&server, |config| {
                config.outbound_deny = vec!["127.0.0.1/32".parse().unwrap()];
                config.resolver = resolver;
            }));
            for to in ["push.test".to_owned(), server.address().ip().to_string()] {
                let to = format!("{to}:{}", server.address().port());
                let outcome = sender.send_to(&to).await;
                assert_ne!(outcome.kind(), OutcomeKind::Accepted, "{way:?} {to}");
            }
            assert_eq!(told.asked(), 1, "{way:?} {answer}");
        }
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}
