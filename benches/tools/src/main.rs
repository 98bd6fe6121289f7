//! What `scripts/bench` needs beside the server: load, receivers that look at the clock, limits to compare with.
//!
//! Each command prints one JSON object per result on stdout. One thread, so that it can be pinned to a core.

mod capture;
mod encryption;
mod gateway;
mod http1;
mod latency;
mod load;
mod soak;

use clap::{Parser, Subcommand};

/// Helpers of scripts/bench.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print browser keys: p256dh and auth in base64url, one pair a line.
    Keys {
        /// How many.
        count: usize,
    },
    /// Encrypt for browsers as RFC 8291 has it, and do nothing else.
    Encrypt(encryption::Encrypt),
    /// Be a gateway that prints the first request it gets.
    Capture(capture::Capture),
    /// Be a gateway and a publisher, and measure how long publishes take from one to the other.
    Latency(latency::Latency),
    /// Send requests over keep-alive connections, each as soon as the one before is answered.
    Load(load::Load),
    /// Send a mix of requests at a steady rate, whatever becomes of them, and count how they ended.
    Soak(soak::Soak),
}

fn main() -> anyhow::Result<()> {
    let command = Cli::parse().command;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        match command {
            Command::Keys { count } => encryption::keys(count),
            Command::Encrypt(encrypt) => encrypt.run(),
            Command::Capture(capture) => capture.run().await,
            Command::Latency(latency) => latency.run().await,
            Command::Load(load) => load.run().await,
            Command::Soak(soak) => soak.run().await,
        }
    })
}
