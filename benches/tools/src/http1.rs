//! HTTP/1.1 over one keep-alive connection, as cheaply as it goes: whoever makes load must not be what is measured.

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The largest answer that is read, in bytes.
const ANSWER_LENGTH_MAX: usize = 64 * 1024;

/// A connection.
pub(crate) struct Client {
    host: String,
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(host: &str) -> Result<Self> {
        let stream = TcpStream::connect(host)
            .await
            .with_context(|| format!("cannot connect to {host}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            host: host.into(),
            stream,
            request: Vec::new(),
            answer: Vec::new(),
        })
    }

    /// Sends a request and waits for the answer: its status and body.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        bearer: Option<&str>,
        body: Option<&str>,
    ) -> Result<(u16, &[u8])> {
        let request = &mut self.request;
        request.clear();
        request.extend_from_slice(
            format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.host).as_bytes(),
        );
        if let Some(bearer) = bearer {
            request.extend_from_slice(format!("authorization: Bearer {bearer}\r\n").as_bytes());
        }
        if let Some(body) = body {
            let length = body.len();
            let head =
                format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
            request.extend_from_slice(head.as_bytes());
        } else {
            request.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(request).await?;
        self.read().await
    }

    async fn read(&mut self) -> Result<(u16, &[u8])> {
        self.answer.clear();
        let mut needed = None;
        loop {
            if let Some((status, start, end)) = needed
                && self.answer.len() >= end
            {
                return Ok((status, &self.answer[start..end]));
            }
            if self.answer.len() > ANSWER_LENGTH_MAX {
                bail!("the answer is too long");
            }
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                bail!("the server closed the connection");
            }
            if needed.is_none()
                && let Some(length) = self
                    .answer
                    .windows(4)
                    .position(|window| window == b"\r\n\r\n")
            {
                let (status, body) = head(&self.answer[..length])?;
                needed = Some((status, length + 4, length + 4 + body));
            }
        }
    }
}

/// Status and body length of an answer.
fn head(head: &[u8]) -> Result<(u16, usize)> {
    let head = std::str::from_utf8(head)?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .context("no status")?
        .parse()?;
    for line in lines {
        let (name, value) = line.split_once(':').context("no header")?;
        if name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("a chunked answer");
        }
        if name.eq_ignore_ascii_case("content-length") {
            return Ok((status, value.trim().parse()?));
        }
    }
    Ok((status, 0))
}
