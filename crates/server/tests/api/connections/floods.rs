//! HTTP/2 connections that only cost: streams reset as soon as they are opened, header blocks without end, settings and pings
//! that nobody needs. Frames are written by hand (RFC 9113), since no client would send them so.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::connections::PATIENCE;
use crate::support::{Instance, Server};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
const ENHANCE_YOUR_CALM: u32 = 11;
/// `:method GET`, `:scheme http`, `:path /`, and `:authority x` written out. RFC 7541 appendix A and section 6.2.
const REQUEST: &[u8] = &[0x82, 0x86, 0x84, 0x01, 0x01, b'x'];

/// The same with `:method POST`, the path of a registration, and `content-type` of JSON, so that a body is waited for.
fn upload(instance: &Instance) -> Vec<u8> {
    let path = format!("/device_api/v1/instances/{}/devices/fcm", instance.id);
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let (path, json) = (text(&path), text("application/json"));
    [
        &[0x83, 0x86, 0x04],
        &*path,
        &[0x01, 0x01, b'x', 0x0f, 0x10],
        &json,
    ]
    .concat()
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

pub(super) async fn connect(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.app.local_addr()).await.unwrap();
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    stream.write_all(&begin).await.unwrap();
    stream
}

/// Sends until the server ends the connection, and gives the error code of its GOAWAY, if one came.
async fn flood(server: &Server, pieces: impl Iterator<Item = Vec<u8>>) -> Option<u32> {
    let stream = connect(server).await;
    let (mut reader, mut writer) = stream.into_split();
    let sending = async {
        for piece in pieces {
            if writer.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    let reading = async {
        let mut code = None;
        let mut head = [0; 9];
        while reader.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            if reader.read_exact(&mut payload).await.is_err() {
                break;
            }
            if head[3] == GOAWAY {
                code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
        code
    };
    let both = async { tokio::join!(sending, reading).1 };
    let code = tokio::time::timeout(PATIENCE, both).await;
    code.expect("the server never ended the connection")
}

/// What the server allows, of its first frame: the value of a setting (RFC 9113 section 6.5.2).
async fn setting(server: &Server, wanted: u16) -> Option<u32> {
    let mut stream = connect(server).await;
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], SETTINGS);
    let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
    stream.read_exact(&mut payload).await.unwrap();
    payload.chunks(6).find_map(|pair| {
        let name = u16::from_be_bytes([pair[0], pair[1]]);
        (name == wanted).then(|| u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]]))
    })
}

pub(super) async fn is_well(server: &Server) {
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    const MAX_CONCURRENT_STREAMS: u16 = 3;
    const MAX_HEADER_LIST_SIZE: u16 = 6;
    const REFUSED_STREAM: u32 = 7;
    let server = Server::start_with(&[
        ("limits.http2_streams_max", "10"),
        ("limits.header_bytes_max", "9000"),
    ])
    .await;
    assert_eq!(setting(&server, MAX_CONCURRENT_STREAMS).await, Some(10));
    assert_eq!(setting(&server, MAX_HEADER_LIST_SIZE).await, Some(9000));
    let upload = upload(&server.instance().await);
    // Eleven bodies that do not come, from somebody who did not read the settings.
    let mut stream = connect(&server).await;
    for number in 0..11_u32 {
        let head = frame(HEADERS, END_HEADERS, 2 * number + 1, &upload);
        stream.write_all(&head).await.unwrap();
    }
    let refused = async {
        let mut head = [0; 9];
        loop {
            stream.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            stream.read_exact(&mut payload).await.unwrap();
            if head[3] == RST_STREAM {
                let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                return (of, u32::from_be_bytes(payload.try_into().unwrap()));
            }
        }
    };
    let refused = tokio::time::timeout(PATIENCE, refused).await.unwrap();
    assert_eq!(refused, (21, REFUSED_STREAM));
    is_well(&server).await;
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_the_connection() {
    let server = Server::start_with(&[("limits.http2_resets_max", "20")]).await;
    let streams = (0..200_000_u32).map(|number| {
        let stream = 2 * number + 1;
        let mut piece = frame(HEADERS, END_STREAM | END_HEADERS, stream, REQUEST);
        piece.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        piece
    });
    assert_eq!(flood(&server, streams).await, Some(ENHANCE_YOUR_CALM));
    is_well(&server).await;
}

#[tokio::test]
async fn mistakes_on_streams_end_the_connection() {
    let server = Server::start_with(&[("limits.http2_resets_max", "20")]).await;
    // A window update of nothing is a mistake that costs the server a reset of the stream (RFC 9113 section 6.9).
    let streams = (0..200_000_u32).map(|number| {
        let stream = 2 * number + 1;
        let mut piece = frame(HEADERS, END_HEADERS, stream, REQUEST);
        piece.extend(frame(8, 0, stream, &0_u32.to_be_bytes()));
        piece
    });
    assert!(flood(&server, streams).await.is_some());
    is_well(&server).await;
}

#[tokio::test]
async fn a_header_block_without_end_ends_the_connection() {
    let server = Server::start().await;
    let first = std::iter::once(frame(HEADERS, END_STREAM, 1, REQUEST));
    // A field of 16 KiB in each frame: a literal without indexing, of a new name.
    let field = [&[0_u8, 1, b'a', 0x7f, 0x80, 0x7f][..], &vec![b'x'; 16_255]].concat();
    let endless = std::iter::repeat_n(frame(CONTINUATION, 0, 1, &field), 100_000);
    flood(&server, first.chain(endless)).await;
    is_well(&server).await;
    // And with nothing in the frames, which adds nothing to any length.
    let first = std::iter::once(frame(HEADERS, END_STREAM, 1, &[]));
    let endless = std::iter::repeat_n(frame(CONTINUATION, 0, 1, &[]), 10_000_000);
    flood(&server, first.chain(endless)).await;
    is_well(&server).await;
}

/// Answers to settings and pings wait for the caller to read them; who reads none is not read from any further.
#[tokio::test]
async fn who_sends_without_reading_is_no_longer_read_from() {
    let server = Server::start_with(&[
        ("limits.idle_timeout_secs", "1"),
        ("limits.request_timeout_secs", "1"),
    ])
    .await;
    for piece in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[])] {
        let mut stream = connect(&server).await;
        let many = piece.repeat(4096);
        let mut sent = 0_usize;
        let sending = async {
            while stream.write_all(&many).await.is_ok() {
                sent += many.len();
                assert!(sent < 1 << 30, "a gigabyte was taken");
            }
        };
        // It ends with the connection, which is idle: nothing was asked.
        tokio::time::timeout(PATIENCE, sending)
            .await
            .expect("it never ended");
        is_well(&server).await;
    }
}

#[tokio::test]
async fn empty_frames_on_a_stream_do_not_keep_a_request_alive() {
    let server = Server::start_with(&[
        ("limits.request_timeout_secs", "1"),
        ("limits.idle_timeout_secs", "1"),
    ])
    .await;
    let first = std::iter::once(frame(HEADERS, END_HEADERS, 1, REQUEST));
    let endless = std::iter::repeat_n(frame(DATA, 0, 1, &[]), 50_000_000);
    flood(&server, first.chain(endless)).await;
    is_well(&server).await;
}
