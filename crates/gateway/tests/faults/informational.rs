//! Far sides that speak HTTP/1.1 and say over and over that the answer is still to come. RFC 9110 section 15.2 sets no bound.

use std::time::Duration;

use domain::outcome::Outcome;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use super::server::{Server, read_request};
use super::{WAYS, gateways, send};

/// Far more than a connection may make us read: 2 MiB, and 160 KiB for a request.
const FLOOD_MAX: usize = 16 << 20;
/// Generous: a flood that ends by the clock is none that was ended.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_1_informational_answers_without_end_end_the_connection() {
    let long = format!(
        "HTTP/1.1 103 Early Hints\r\nlink: {}\r\n\r\n",
        "x".repeat(4000)
    );
    for answer in ["HTTP/1.1 102 Processing\r\n\r\n".to_owned(), long] {
        for way in WAYS {
            let (tell, mut told) = mpsc::unbounded_channel();
            let block = answer.repeat(1 + 16384 / answer.len());
            let server = Server::start(&[b"http/1.1"], move |mut io| {
                let (tell, block) = (tell.clone(), block.clone());
                async move {
                    let _ = read_request(&mut io).await;
                    let mut written = 0;
                    while written < FLOOD_MAX && io.write_all(block.as_bytes()).await.is_ok() {
                        written += block.len();
                    }
                    let _ = tell.send(written);
                }
            })
            .await;
            let sender = way.of(&gateways(&server, |config| {
                config.request_timeout = PATIENCE;
                config.webhook_timeout = PATIENCE;
            }));
            let outcome = send(&sender, server.address()).await;
            assert_eq!(outcome, Outcome::retry("connection_lost"), "{way:?}");
            let written = tokio::time::timeout(PATIENCE, told.recv()).await;
            let written = written.unwrap().unwrap();
            assert!(written < FLOOD_MAX, "{way:?}: {written} bytes were taken");
        }
    }
}
