//! The crate apns-h2 as a plain sender: `heliostat-bench-apns-h2 KEY.p8 COUNT`. Prints one JSON object.
//!
//! It only knows Apple's hosts, so it is run where those names lead to this machine.

use std::fs::File;
use std::time::Instant;

use apns_h2::{
    Client, ClientConfig, DefaultNotificationBuilder, Endpoint, NotificationBuilder as _,
    NotificationOptions, Priority, PushType,
};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

const IN_FLIGHT: usize = 500;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let key = arguments.next().ok_or("the key file is missing")?;
    let count: usize = arguments.next().ok_or("the count is missing")?.parse()?;
    // Nothing else chooses between the providers that may be in the tree.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = Client::token(
        File::open(key)?,
        "BENCHKEY01",
        "BENCHTEAM1",
        ClientConfig::new(Endpoint::Production),
    )?;
    let tokens: Vec<String> = (0..count).map(|number| format!("{number:064x}")).collect();
    let began = Instant::now();
    let (mut running, mut waiting, mut accepted) =
        (FuturesUnordered::new(), tokens.iter(), 0_usize);
    loop {
        while running.len() < IN_FLIGHT {
            let Some(token) = waiting.next() else { break };
            running.push(client.send(notification(token)));
        }
        match running.next().await {
            Some(Ok(_)) => accepted += 1,
            Some(Err(error)) => eprintln!("{error}"),
            None => break,
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{{\"count\":{count},\"accepted\":{accepted},\"seconds\":{seconds}}}");
    Ok(())
}

fn notification(token: &str) -> apns_h2::request::payload::Payload<'_> {
    let options = NotificationOptions {
        apns_topic: Some("com.example.app"),
        apns_push_type: Some(PushType::Alert),
        apns_priority: Some(Priority::High),
        ..NotificationOptions::default()
    };
    let mut payload = DefaultNotificationBuilder::new()
        .title("Line 7 is closed")
        .body("From Monday the 7 ends at Central Station; take the 12 from there. We are sorry for the detour.")
        .sound("default")
        .build(token, options);
    let _ = payload.add_custom_data(
        "article",
        &"2026-11-23-line-7-is-closed-from-monday-until-christmas",
    );
    payload
}
