//! Shows what the server sends, so that the limit is measured with the same headers and body.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::gateway::Listen;

/// Prints requests.
#[derive(Debug, clap::Args)]
pub(crate) struct Capture {
    #[command(flatten)]
    listen: Listen,
    /// How many to print before ending; those to the token endpoint are not counted.
    #[arg(long, default_value_t = 1)]
    count: usize,
}

impl Capture {
    pub(crate) async fn run(&self) -> Result<()> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let read = move |head: &http::request::Parts, body: bytes::Bytes| {
            if head.uri.path() == "/token" {
                return;
            }
            let headers: Vec<Value> = head
                .headers
                .iter()
                .map(|(name, value)| {
                    json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])
                })
                .collect();
            let path = head.uri.path();
            // Nobody listens once enough were printed.
            let _ = sender
                .send(json!({"path": path, "headers": headers, "body": STANDARD.encode(&body)}));
        };
        self.listen.start(|_| {}, read).await?;
        eprintln!("listening");
        for _ in 0..self.count {
            let Some(request) = receiver.recv().await else {
                break;
            };
            println!("{request}");
        }
        // The last answer has to leave.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        Ok(())
    }
}
