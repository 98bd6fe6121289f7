//! What the official SDKs put on the wire, to the byte, and what they make of the answers.

mod android;
mod cassettes;
mod retries;
mod swift;
mod web;

use crate::support::{RawReply, Server, exchange};

/// Sends a request whose lines are written as they are here, with the length of its body filled in.
async fn replay(server: &Server, head: &str, body: &str) -> RawReply {
    let head = head
        .trim_start()
        .lines()
        .map(str::trim_start)
        .collect::<Vec<_>>()
        .join("\r\n");
    let length = format!("Content-Length: {}", body.len());
    let head = head.replace("Content-Length: *", &length);
    exchange(server.app.local_addr(), &format!("{head}\r\n\r\n{body}")).await
}
