//! Requests written byte by byte, for what no HTTP client would send, or would send otherwise.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct RawReply {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl RawReply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Sends one request on a connection of its own and reads the answer.
pub(crate) async fn exchange(server: SocketAddr, request: &str) -> RawReply {
    let mut stream = TcpStream::connect(server).await.unwrap();
    exchange_over(&mut stream, request).await
}

/// Sends one request on a connection that stays open, as a kept-alive one does.
pub(crate) async fn exchange_over(stream: &mut TcpStream, request: &str) -> RawReply {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    let head_end = loop {
        if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        more(stream, &mut read).await;
    };
    let head = String::from_utf8(read[..head_end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut reply = RawReply {
        status,
        headers,
        body: String::new(),
    };
    let length: usize = reply
        .header("content-length")
        .map_or(0, |value| value.parse().unwrap());
    while read.len() < head_end + 4 + length {
        more(stream, &mut read).await;
    }
    reply.body = String::from_utf8(read[head_end + 4..].to_vec()).unwrap();
    reply
}

async fn more(stream: &mut TcpStream, read: &mut Vec<u8>) {
    let mut chunk = [0; 4096];
    let length = stream.read(&mut chunk).await.unwrap();
    assert!(
        length > 0,
        "the connection ended within an answer: {}",
        String::from_utf8_lossy(read)
    );
    read.extend_from_slice(&chunk[..length]);
}
