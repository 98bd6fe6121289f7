//! Misbehaviour on the wire, watched with a bare HTTP/2 client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use emulator::{Behaviour, Change, Gateway, ResetCode, Verdict};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::support::{PATIENCE, World, device_token, eventually};

struct Wire {
    sender: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
    authority: String,
    token: String,
}

impl Wire {
    async fn open(world: &World, gateway: Gateway) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(world.emulators.ca_file()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let address = world.emulators.address(gateway);
        let stream = TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").unwrap();
        let tls = connector.connect(name, stream).await.unwrap();
        let (sender, connection) = h2::client::handshake(tls).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test's own task")]
        let connection = tokio::spawn(connection);
        Self {
            sender,
            connection,
            authority: address.to_string(),
            token: world.good_provider_token(),
        }
    }

    fn head(&self, device: &str) -> http::Request<()> {
        http::Request::post(format!("https://{}/3/device/{device}", self.authority))
            .header("authorization", format!("bearer {}", self.token))
            .header("apns-topic", "com.example.app")
            .body(())
            .unwrap()
    }

    /// Opens a stream whose body is still to come.
    fn begin(&mut self, device: &str) -> (ResponseFuture, SendStream<Bytes>) {
        let head = self.head(device);
        self.sender.send_request(head, false).unwrap()
    }

    fn post(&mut self, device: &str) -> ResponseFuture {
        let (response, mut body) = self.begin(device);
        body.send_data(Bytes::from_static(br#"{"aps":{}}"#), true)
            .unwrap();
        response
    }

    /// Waits until the server's SETTINGS have come.
    async fn settled(&mut self, limit: usize) {
        let sender = self.sender.clone();
        eventually(&format!("a limit of {limit}"), || {
            sender.current_max_send_streams() == limit
        })
        .await;
    }
}

async fn status(response: ResponseFuture) -> Result<u16, h2::Error> {
    let response = tokio::time::timeout(PATIENCE, response)
        .await
        .expect("an answer");
    response.map(|response| response.status().as_u16())
}

async fn ended(connection: JoinHandle<Result<(), h2::Error>>) -> Result<(), h2::Error> {
    tokio::time::timeout(PATIENCE, connection)
        .await
        .expect("the connection ends")
        .unwrap()
}

#[tokio::test]
async fn the_stream_limit_is_announced_and_changed_in_flight() {
    let world = World::new().await;
    let limit = |streams| Change {
        max_concurrent_streams: Some(streams),
        ..Change::default()
    };
    world.emulators.change(Gateway::Apns, limit(7)).unwrap();
    let mut wire = Wire::open(&world, Gateway::Apns).await;
    wire.settled(7).await;
    assert_eq!(status(wire.post(&device_token(1))).await.unwrap(), 200);
    for streams in [1, 500, 0, 3] {
        world
            .emulators
            .change(Gateway::Apns, limit(streams))
            .unwrap();
        wire.settled(usize::try_from(streams).unwrap()).await;
    }
    // The same connection goes on.
    for n in 0..10 {
        assert_eq!(status(wire.post(&device_token(n))).await.unwrap(), 200);
    }
    assert!(!wire.connection.is_finished());
}

#[tokio::test]
async fn a_client_that_keeps_to_the_limit_is_never_refused() {
    let world = World::new().await;
    let two = Change {
        max_concurrent_streams: Some(2),
        latency_ms: Some(5),
        ..Change::default()
    };
    world.emulators.change(Gateway::Apns, two).unwrap();
    let mut wire = Wire::open(&world, Gateway::Apns).await;
    wire.settled(2).await;
    for round in 0..40 {
        let streams = 1 + round % 3;
        let change = Change {
            max_concurrent_streams: Some(streams),
            ..Change::default()
        };
        world.emulators.change(Gateway::Apns, change).unwrap();
        let mut open = Vec::new();
        for n in 0..3 {
            wire.sender = wire.sender.ready().await.unwrap();
            open.push(wire.post(&device_token(n)));
        }
        for response in open {
            assert_eq!(status(response).await.unwrap(), 200);
        }
    }
}

#[tokio::test]
async fn hang_answers_nothing_and_holds_nobody_else_up() {
    let world = World::new().await;
    world
        .emulators
        .set_behaviour(Gateway::Apns, Some(&device_token(1)), Behaviour::Hang)
        .unwrap();
    let mut wire = Wire::open(&world, Gateway::Apns).await;
    let mut hanging = wire.post(&device_token(1));
    for _ in 0..5 {
        assert_eq!(status(wire.post(&device_token(2))).await.unwrap(), 200);
    }
    assert_eq!(world.emulators.total(Gateway::Apns, Verdict::Unanswered), 1);
    let answered = tokio::time::timeout(Duration::from_millis(50), &mut hanging).await;
    assert!(answered.is_err(), "it must not answer");
    drop(hanging);
    world.emulators.stop().await;
}

#[tokio::test]
async fn a_stream_is_reset_with_the_chosen_code() {
    let world = World::new().await;
    let mut wire = Wire::open(&world, Gateway::Apns).await;
    for (code, reason) in [
        (ResetCode::InternalError, Reason::INTERNAL_ERROR),
        (ResetCode::RefusedStream, Reason::REFUSED_STREAM),
        (ResetCode::Cancel, Reason::CANCEL),
        (ResetCode::EnhanceYourCalm, Reason::ENHANCE_YOUR_CALM),
        (ResetCode::ProtocolError, Reason::PROTOCOL_ERROR),
    ] {
        let plan = Behaviour::RstStream { code };
        world
            .emulators
            .set_behaviour(Gateway::Apns, Some(&device_token(1)), plan)
            .unwrap();
        let error = status(wire.post(&device_token(1))).await.unwrap_err();
        assert!(error.is_reset() && error.is_remote());
        assert_eq!(error.reason(), Some(reason));
    }
    assert_eq!(
        status(wire.post(&device_token(2))).await.unwrap(),
        200,
        "the connection goes on"
    );
}

#[tokio::test]
async fn goaway_after_an_answer_lets_open_streams_finish() {
    let world = World::new().await;
    let goaway = Behaviour::Goaway { abrupt: false };
    world
        .emulators
        .set_behaviour_times(Gateway::Apns, Some(&device_token(1)), goaway, 1)
        .unwrap();
    let mut wire = Wire::open(&world, Gateway::Apns).await;
    let (early, mut early_body) = wire.begin(&device_token(2));
    assert_eq!(status(wire.post(&device_token(1))).await.unwrap(), 200);
    // No new streams, but the open one is answered.
    let mut sender = wire.sender.clone();
    let refused = tokio::time::timeout(PATIENCE, async {
        loop {
            match std::future::poll_fn(|cx| sender.poll_ready(cx)).await {
                Ok(()) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => return error,
            }
        }
    });
    assert!(refused.await.unwrap().is_go_away());
    early_body
        .send_data(Bytes::from_static(br#"{"aps":{}}"#), true)
        .unwrap();
    assert_eq!(status(early).await.unwrap(), 200);
    drop((sender, wire.sender));
    ended(wire.connection).await.unwrap();
    assert_eq!(world.emulators.total(Gateway::Apns, Verdict::Accepted), 2);
}

#[tokio::test]
async fn abrupt_goaway_leaves_that_stream_and_later_ones_unprocessed() {
    let world = World::new().await;
    let goaway = Behaviour::Goaway { abrupt: true };
    world
        .emulators
        .set_behaviour_times(Gateway::Apns, Some(&device_token(5)), goaway, 1)
        .unwrap();
    let mut wire = Wire::open(&world, Gateway::Apns).await;
    // Streams 1 and 3 wait for their bodies, 5 is the one, 7 and 9 come after.
    let early: Vec<_> = [1, 3]
        .map(|n| wire.begin(&device_token(n)))
        .into_iter()
        .collect();
    let late: Vec<_> = [5, 7, 9]
        .map(|n| wire.post(&device_token(n)))
        .into_iter()
        .collect();
    for response in late {
        let error = status(response).await.unwrap_err();
        assert!(error.is_go_away() && error.is_remote(), "{error}");
        assert_eq!(error.reason(), Some(Reason::NO_ERROR));
    }
    for (response, mut body) in early {
        body.send_data(Bytes::from_static(br#"{"aps":{}}"#), true)
            .unwrap();
        assert_eq!(
            status(response).await.unwrap(),
            200,
            "below the last stream id: answered"
        );
    }
    assert_eq!(world.emulators.total(Gateway::Apns, Verdict::Accepted), 2);
    for n in [5, 7, 9] {
        assert_eq!(
            world
                .emulators
                .accepted_for(Gateway::Apns, &device_token(n)),
            0
        );
    }
    drop(wire.sender);
    let _ = ended(wire.connection).await;
    // The next connection works.
    let mut wire = Wire::open(&world, Gateway::Apns).await;
    assert_eq!(status(wire.post(&device_token(5))).await.unwrap(), 200);
}

#[tokio::test]
async fn cut_ends_the_connection_without_a_word() {
    let world = World::new().await;
    world
        .emulators
        .set_behaviour_times(Gateway::Apns, None, Behaviour::Cut, 1)
        .unwrap();
    let mut wire = Wire::open(&world, Gateway::Apns).await;
    let error = status(wire.post(&device_token(1))).await.unwrap_err();
    assert!(!error.is_go_away() && !error.is_reset(), "{error}");
    assert!(ended(wire.connection).await.is_err());
}

#[tokio::test]
async fn answers_wait_for_the_latency() {
    let world = World::new().await;
    let slow = Change {
        latency_ms: Some(600_000),
        ..Change::default()
    };
    world.emulators.change(Gateway::Apns, slow).unwrap();
    let mut wire = Wire::open(&world, Gateway::Apns).await;
    let mut waiting = wire.post(&device_token(1));
    let emulators = &world.emulators;
    eventually("it is taken", || {
        emulators.total(Gateway::Apns, Verdict::Accepted) == 1
    })
    .await;
    assert!(
        tokio::time::timeout(Duration::from_millis(50), &mut waiting)
            .await
            .is_err()
    );
    world
        .emulators
        .change(
            Gateway::Apns,
            Change {
                latency_ms: Some(0),
                ..Change::default()
            },
        )
        .unwrap();
    assert_eq!(status(wire.post(&device_token(2))).await.unwrap(), 200);
    let too_slow = Change {
        latency_ms: Some(600_001),
        ..Change::default()
    };
    assert!(world.emulators.change(Gateway::Apns, too_slow).is_err());
}

#[tokio::test]
async fn stopping_says_goaway_and_ends() {
    let world = World::new().await;
    let mut wire = Wire::open(&world, Gateway::Apns).await;
    assert_eq!(status(wire.post(&device_token(1))).await.unwrap(), 200);
    world.emulators.stop().await;
    let _ = ended(wire.connection).await;
    assert!(
        TcpStream::connect(world.emulators.address(Gateway::Apns))
            .await
            .is_err()
    );
}
