//! What callers make the server hold: bodies that do not come whole, answers that are not read.

use std::time::Duration;

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::floods::{END_HEADERS, END_STREAM, HEADERS, SETTINGS, connect, frame, is_well};
use crate::connections::PATIENCE;
use crate::support::{Instance, JSON, Reply, Server, device_path};

const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
/// `SETTINGS_INITIAL_WINDOW_SIZE` of nothing (RFC 9113 section 6.5.2): answers on all streams wait until they are asked for.
const NO_WINDOW: &[u8] = &[0, 4, 0, 0, 0, 0];
/// The least that may be set; a caller on this machine may have all of it.
const LEAST: &str = "16777216";
/// Answered at once, with what is too large to be free.
const LARGE: &str = "/docs";

/// `:method GET`, `:scheme http`, the path and an authority. RFC 7541 appendix A and section 6.2.
fn get(path: &str) -> Vec<u8> {
    let length = u8::try_from(path.len()).unwrap();
    [
        &[0x82, 0x86, 0x04, length],
        path.as_bytes(),
        &[0x01, 0x01, b'x'],
    ]
    .concat()
}

/// A connection on which nothing is answered but what its streams are given a window for.
async fn reader_of_nothing(server: &Server) -> TcpStream {
    let mut stream = connect(server).await;
    let settings = frame(SETTINGS, 0, 0, NO_WINDOW);
    stream.write_all(&settings).await.unwrap();
    stream
}

/// Asks until the answer has this status.
async fn until(status: u16, mut ask: impl AsyncFnMut() -> Reply) {
    let asked = async {
        while ask().await.status != status {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let asked = tokio::time::timeout(PATIENCE, asked).await;
    asked.unwrap_or_else(|_| panic!("it was never answered {status}"));
}

/// What is small is done whatever others make the server hold.
async fn small_things_are_done(server: &Server, instance: &Instance) {
    is_well(server).await;
    server.fcm_device(instance, "token-of-a-phone").await;
    let path = format!("/publish_api/v1/instances/{}/publishes", instance.id);
    let body = r#"{"interests":["hello"],"fcm":{"notification":{"title":"Hi"}}}"#;
    let authorization = instance.authorization();
    let headers = [JSON, ("Authorization", authorization.as_str())];
    server.send(Method::POST, &path, &headers, body).await.ok();
}

#[tokio::test]
async fn answers_that_nobody_reads_are_held_within_bounds() {
    let server = Server::start_with(&[("limits.held_bytes_max", LEAST)]).await;
    let instance = server.instance().await;
    let size = server.get(LARGE).await.ok().body.len();
    let mut callers = Vec::new();
    for _ in 0..=16_777_216 / size / 200 {
        let mut caller = reader_of_nothing(&server).await;
        for number in 0..200 {
            let ask = frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                2 * number + 1,
                &get(LARGE),
            );
            caller.write_all(&ask).await.unwrap();
        }
        callers.push(caller);
    }
    until(503, async || server.get(LARGE).await).await;
    let refused = server.get(LARGE).await;
    refused.refused(503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    small_things_are_done(&server, &instance).await;
    drop(callers);
    until(200, async || server.get(LARGE).await).await;
}

/// Whatever else is asked for and read on it.
#[tokio::test]
async fn a_connection_with_an_answer_that_nobody_reads_ends() {
    let server = Server::start_with(&[("limits.idle_timeout_secs", "1")]).await;
    let mut caller = reader_of_nothing(&server).await;
    let large = frame(HEADERS, END_STREAM | END_HEADERS, 1, &get(LARGE));
    caller.write_all(&large).await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, async {
        for number in 1_u32.. {
            let stream = 2 * number + 1;
            let ask = frame(HEADERS, END_STREAM | END_HEADERS, stream, &get("/healthz"));
            let window = frame(WINDOW_UPDATE, 0, stream, &10_000_u32.to_be_bytes());
            if caller.write_all(&[ask, window].concat()).await.is_err()
                || !answered(&mut caller, stream).await
            {
                return number;
            }
        }
        0
    });
    let asked = ended.await.expect("it never ended");
    assert!(asked > 1, "it ended at once");
    is_well(&server).await;
}

/// Reads to the end of a stream; `false` if the connection ends before. Gives back the connection's window.
async fn answered(caller: &mut TcpStream, stream: u32) -> bool {
    let mut head = [0; 9];
    while caller.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if caller.read_exact(&mut payload).await.is_err() {
            return false;
        }
        let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if head[3] == PING && head[4] == 0 {
            let pong = frame(PING, 1, 0, &payload);
            let _ = caller.write_all(&pong).await;
        }
        if (head[3], of) == (0, stream) && length > 0 {
            let window = frame(WINDOW_UPDATE, 0, 0, &length.to_be_bytes());
            let _ = caller.write_all(&window).await;
        }
        if of == stream && head[4] & END_STREAM != 0 {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn bodies_that_do_not_come_whole_are_held_within_bounds() {
    const LENGTH: usize = 890_000;
    let server = Server::start_with(&[
        ("limits.held_bytes_max", LEAST),
        ("limits.request_timeout_secs", "3600"),
    ])
    .await;
    let instance = server.instance().await;
    let device = server.fcm_device(&instance, "token").await;
    let path = format!("{}/interests", device_path(&instance, &device));
    let large = format!(r#"{{"interests":["panda"]{}}}"#, " ".repeat(LENGTH - 30));
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {LENGTH}\r\n\r\n"
    );
    let part = [head.as_bytes(), &vec![b' '; LENGTH - 1]].concat();
    let mut callers = Vec::new();
    // One more than there is room for, which is less than a whole body then.
    for _ in 0..=16_777_216 / LENGTH {
        let mut caller = TcpStream::connect(server.app.local_addr()).await.unwrap();
        caller.write_all(&part).await.unwrap();
        callers.push(caller);
    }
    until(503, async || server.put(&path, &large).await).await;
    small_things_are_done(&server, &instance).await;
    server.put(&path, r#"{"interests":["bear"]}"#).await.ok();
    drop(callers);
    until(200, async || server.put(&path, &large).await).await;
}
