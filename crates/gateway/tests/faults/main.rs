//! The outbound client against far sides that misbehave in ways no gateway's emulator does.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod floods;
mod informational;
mod leading;
mod sender;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use domain::clock::SystemClock;
use domain::outcome::{Outcome, OutcomeKind};
use futures_util::future::join_all;
use gateway::{Config, GatewayError, Gateways};
use http::Response;
use sender::{Sender, WAYS, Way, send};
use server::{Server, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const TIMEOUT: Duration = Duration::from_secs(2);

fn gateways(server: &Server, adjust: impl FnOnce(&mut Config)) -> Gateways {
    let mut config = Config {
        extra_ca_pem: Some(server.ca_pem().into()),
        outbound_allow: vec!["127.0.0.0/8".parse().unwrap()],
        request_timeout: TIMEOUT,
        webhook_timeout: TIMEOUT,
        connect_timeout: TIMEOUT / 4,
        ..Config::default()
    };
    adjust(&mut config);
    Gateways::new(config, Arc::new(SystemClock)).unwrap()
}

fn channel(server: &Server) -> Sender {
    Way::Push.of(&gateways(server, |_| {}))
}

fn created() -> Response<()> {
    Response::builder().status(201).body(()).unwrap()
}

/// Serves HTTP/2, answering each request by `answer`.
async fn serve_h2<A>(io: Tls, mut answer: A)
where
    A: FnMut(h2::server::SendResponse<Bytes>),
{
    let mut connection = h2::server::handshake(io).await.unwrap();
    while let Some(Ok((_, respond))) = connection.accept().await {
        answer(respond);
    }
}

#[tokio::test]
async fn a_far_side_that_speaks_only_http_1_is_served_on_one_connection() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let server = Server::start(&[b"http/1.1"], move |io| {
        counted.fetch_add(1, Ordering::SeqCst);
        server::serve_http_1(io, "HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok")
    })
    .await;
    let channel = channel(&server);
    for _ in 0..5 {
        assert_eq!(send(&channel, server.address()).await, Outcome::Accepted);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    let many = join_all((0..20).map(|_| send(&channel, server.address()))).await;
    assert!(many.iter().all(|outcome| *outcome == Outcome::Accepted));
    assert!(connections.load(Ordering::SeqCst) <= Config::default().connections_per_host_max);
}

#[tokio::test]
async fn an_http_1_answer_without_end_is_cut_off() {
    let server = Server::start(&[b"http/1.1"], |mut io| async move {
        let _ = server::read_request(&mut io).await;
        let _ = io
            .write_all(b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        while io.write_all(b"400\r\n").await.is_ok()
            && io.write_all(&[b'x'; 1024]).await.is_ok()
            && io.write_all(b"\r\n").await.is_ok()
        {}
    })
    .await;
    for way in WAYS {
        let channel = way.of(&gateways(&server, |_| {}));
        assert_eq!(send(&channel, server.address()).await, Outcome::Accepted);
        assert_eq!(
            send(&channel, server.address()).await,
            Outcome::Accepted,
            "on a new connection"
        );
    }
}

#[tokio::test]
async fn an_http_1_header_without_end_is_not_read() {
    // Twice as much as is taken, and then nothing: whoever takes more waits for it until the time is over.
    let server = Server::start(&[b"http/1.1"], |mut io| async move {
        let _ = server::read_request(&mut io).await;
        let _ = io.write_all(b"HTTP/1.1 201 Created\r\nx: ").await;
        let _ = io.write_all(&[b'x'; 32 * 1024]).await;
        let _ = io.read_u8().await;
    })
    .await;
    for way in WAYS {
        let sender = way.of(&gateways(&server, |_| {}));
        let outcome = send(&sender, server.address()).await;
        assert_eq!(outcome, Outcome::retry("connection_lost"), "{way:?}");
    }
}

/// What an answer says of its length is no reason to make room for it, or to wait for it longer than for any other.
#[tokio::test]
async fn a_length_that_is_too_large_is_not_believed() {
    for length in ["1099511627776", "9223372036854775807"] {
        let server = Server::start(&[b"http/1.1"], move |mut io| async move {
            let _ = server::read_request(&mut io).await;
            let head = format!("HTTP/1.1 201 Created\r\ncontent-length: {length}\r\n\r\nok");
            let _ = io.write_all(head.as_bytes()).await;
            let _ = io.read_u8().await;
        })
        .await;
        let multiplexing = Server::start(&[b"h2"], move |io| {
            let mut held = Vec::new();
            serve_h2(io, move |mut respond| {
                let mut response = created();
                let headers = response.headers_mut();
                headers.insert("content-length", length.parse().unwrap());
                let mut body = respond.send_response(response, false).unwrap();
                body.send_data(Bytes::from_static(b"ok"), false).unwrap();
                held.push(body);
            })
        })
        .await;
        let both = [&server, &multiplexing].map(|server| {
            join_all(WAYS.map(|way| async move {
                let sender = way.of(&gateways(server, |_| {}));
                let outcome = send(&sender, server.address()).await;
                assert_eq!(outcome, Outcome::Accepted, "{way:?} {length}");
            }))
        });
        join_all(both).await;
    }
}

/// A byte now and then, so that something always comes, and no answer ever.
#[tokio::test]
async fn an_answer_that_drips_ends_in_time() {
    let server = Server::start(&[b"http/1.1"], |mut io| async move {
        let _ = server::read_request(&mut io).await;
        let _ = io.write_all(b"HTTP/1.1 201 Created\r\nx: ").await;
        while io.write_all(b"x").await.is_ok() && io.flush().await.is_ok() {
            tokio::time::sleep(TIMEOUT / 20).await;
        }
    })
    .await;
    let both = WAYS.map(|way| {
        let sender = way.of(&gateways(&server, |_| {}));
        let to = server.address();
        async move { (way, send(&sender, to).await) }
    });
    for (way, outcome) in join_all(both).await {
        assert_eq!(outcome, Outcome::retry("timeout"), "{way:?}");
    }
}

#[tokio::test]
async fn an_http_2_body_without_end_is_reset() {
    let (reset, mut resets) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(&[b"h2"], move |io| {
        let reset = reset.clone();
        serve_h2(io, move |mut respond| {
            let reset = reset.clone();
            #[expect(clippy::disallowed_methods, reason = "a test's own task")]
            tokio::task::spawn(async move {
                let mut stream = respond.send_response(created(), false).unwrap();
                let mut sent = 0;
                loop {
                    stream.reserve_capacity(1024);
                    match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                        Some(Ok(_)) => {}
                        _ => break,
                    }
                    let chunk = Bytes::from(vec![b'x'; stream.capacity().min(1024)]);
                    sent += chunk.len();
                    if stream.send_data(chunk, false).is_err() {
                        break;
                    }
                }
                let _ = reset.send(sent);
            });
        })
    })
    .await;
    for way in WAYS {
        let channel = way.of(&gateways(&server, |_| {}));
        assert_eq!(send(&channel, server.address()).await, Outcome::Accepted);
        let sent = tokio::time::timeout(Duration::from_secs(30), resets.recv())
            .await
            .unwrap()
            .unwrap();
        assert!(sent <= 256 * 1024, "{sent} bytes were taken");
        assert_eq!(send(&channel, server.address()).await, Outcome::Accepted);
    }
}

#[tokio::test]
async fn a_body_that_never_comes_does_not_hide_the_status() {
    let server = Server::start(&[b"h2"], |io| {
        let mut held = Vec::new();
        serve_h2(io, move |mut respond| {
            let gone = Response::builder().status(410).body(()).unwrap();
            held.push(respond.send_response(gone, false).unwrap());
        })
    })
    .await;
    assert_eq!(
        send(&channel(&server), server.address()).await,
        Outcome::token_dead("gone")
    );
}

#[tokio::test]
async fn a_header_list_over_the_limit_is_refused() {
    let server = Server::start(&[b"h2"], |io| {
        serve_h2(io, |mut respond| {
            let mut response = created();
            for number in 0..64 {
                let name: http::HeaderName = format!("x-{number}").parse().unwrap();
                response
                    .headers_mut()
                    .insert(name, "y".repeat(1000).parse().unwrap());
            }
            let _ = respond.send_response(response, true);
        })
    })
    .await;
    for way in WAYS {
        let sender = way.of(&gateways(&server, |_| {}));
        let outcome = send(&sender, server.address()).await;
        assert_eq!(outcome.kind(), OutcomeKind::Retry, "{way:?}");
    }
}

#[tokio::test]
async fn what_is_no_http_2_ends_in_time() {
    for rubbish in [
        &b""[..],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[0; 100],
        &[0xff; 100_000],
    ] {
        let server = Server::start(&[b"h2"], move |mut io| async move {
            let _ = io.write_all(rubbish).await;
            let mut sink = Vec::new();
            let _ = io.read_to_end(&mut sink).await;
        })
        .await;
        for way in WAYS {
            let sender = way.of(&gateways(&server, |_| {}));
            let outcome = send(&sender, server.address()).await;
            assert_eq!(outcome.kind(), OutcomeKind::Retry, "{way:?}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_closed_before_the_answer_may_have_been_processed() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let server = Server::start(&[b"h2"], move |io| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut connection = h2::server::handshake(io).await.unwrap();
            let _request = connection.accept().await;
        }
    })
    .await;
    assert_eq!(
        send(&channel(&server), server.address()).await,
        Outcome::retry("connection_lost")
    );
    assert_eq!(
        connections.load(Ordering::SeqCst),
        1,
        "it is not sent again by itself"
    );
}

#[tokio::test]
async fn a_goaway_that_asks_for_calm_is_obeyed() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let server = Server::start(&[b"h2"], move |io| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut connection = h2::server::handshake(io).await.unwrap();
            let _request = connection.accept().await;
            connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
            while connection.accept().await.is_some() {}
        }
    })
    .await;
    assert_eq!(
        send(&channel(&server), server.address()).await.kind(),
        OutcomeKind::Retry
    );
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_certificate_of_another_root_is_not_trusted() {
    let answer = |io: Tls| {
        serve_h2(io, |mut respond| {
            drop(respond.send_response(created(), true));
        })
    };
    let (trusted, other) = (
        Server::start(&[b"h2"], answer).await,
        Server::start(&[b"h2"], answer).await,
    );
    let channel = channel(&trusted);
    assert_eq!(send(&channel, trusted.address()).await, Outcome::Accepted);
    assert_eq!(
        send(&channel, other.address()).await,
        Outcome::retry("tls_failed")
    );
}

#[tokio::test]
async fn a_silent_port_costs_the_connect_timeout_and_no_other_host() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start(&[b"h2"], |io| {
        serve_h2(io, |mut respond| {
            drop(respond.send_response(created(), true));
        })
    })
    .await;
    let channel = channel(&server);
    let (dead, alive) = tokio::join!(
        send(&channel, silent.local_addr().unwrap()),
        send(&channel, server.address())
    );
    assert_eq!(dead, Outcome::retry("connect_failed"));
    assert_eq!(alive, Outcome::Accepted);
}

#[tokio::test]
async fn failures_to_connect_are_shared_by_all_who_wait() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let server = Server::start(&[b"h2"], move |io| {
        counted.fetch_add(1, Ordering::SeqCst);
        drop(io);
        std::future::ready(())
    })
    .await;
    let channel = channel(&server);
    let outcomes = join_all((0..50).map(|_| send(&channel, server.address()))).await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.kind() == OutcomeKind::Retry)
    );
    assert!(connections.load(Ordering::SeqCst) <= 2, "{connections:?}");
}

#[tokio::test]
async fn configuration_is_checked() {
    let build = |adjust: &dyn Fn(&mut Config)| {
        let mut config = Config {
            extra_ca_pem: None,
            ..Config::default()
        };
        adjust(&mut config);
        Gateways::new(config, Arc::new(SystemClock)).err()
    };
    let server = Server::start(&[b"h2"], |io| {
        drop(io);
        std::future::ready(())
    })
    .await;
    let pem: Vec<u8> = server.ca_pem().into();
    assert_eq!(
        build(&|config| config.extra_ca_pem = Some(b"x".to_vec())),
        Some(GatewayError::ExtraCa)
    );
    for url in [
        "",
        "http://api.example",
        "https://api.example/path",
        "https://u@api.example",
        "https://",
    ] {
        let error = build(&|config| {
            config.extra_ca_pem = Some(pem.clone());
            config.fcm_url = url.into();
        });
        assert_eq!(
            error,
            Some(GatewayError::Url {
                which: "FCM",
                url: url.into()
            }),
            "{url}"
        );
    }
    let error = build(&|config| {
        config.extra_ca_pem = Some(pem.clone());
        config.vapid_contact = "nobody".into();
    });
    assert_eq!(error, Some(GatewayError::Contact("nobody".into())));
}
