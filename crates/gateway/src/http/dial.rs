//! From a target to a TLS session: resolve once, check every address, connect to one of those very addresses.
//!
//! Addresses are tried in the order of the resolver, the next one starting a little later while the first has not
//! answered (RFC 8305 in small). Invariant: the guard has seen each address that is connected to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::resolve::{Asker, resolve};
use super::{Context, Failure, Target};

/// How many addresses of a host are tried.
const ADDRESSES_MAX: usize = 8;
/// How much later each further address is tried. RFC 8305 section 5.
const STAGGER: Duration = Duration::from_millis(250);

/// Makes a TLS session. The caller bounds the time.
pub(super) async fn dial(
    context: &Context,
    target: &Target,
    asker: Asker,
) -> Result<TlsStream<TcpStream>, Failure> {
    let mut addresses = resolve(context, target, asker).await?;
    if asker != Asker::Own {
        context.guard.check_addresses(&addresses)?;
    }
    addresses.truncate(ADDRESSES_MAX);
    let tcp = connect(&addresses).await?;
    let connector = TlsConnector::from(Arc::clone(&context.tls));
    connector
        .connect(target.server_name(), tcp)
        .await
        .map_err(|error| {
            tracing::debug!(host = target.host(), %error, "TLS failed");
            Failure::Tls
        })
}

/// Makes a connection without TLS, to an address that the operator has excepted. The caller bounds the time.
pub(super) async fn dial_plain(
    context: &Context,
    target: &Target,
    asker: Asker,
) -> Result<TcpStream, Failure> {
    let mut addresses = resolve(context, target, asker).await?;
    context.guard.check_plain_addresses(&addresses)?;
    addresses.truncate(ADDRESSES_MAX);
    connect(&addresses).await
}

/// Connects to the first address that answers.
async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let attempts: FuturesUnordered<_> = addresses
        .iter()
        .zip(0_u32..)
        .map(|(address, number)| async move {
            tokio::time::sleep(STAGGER * number).await;
            TcpStream::connect(address).await
        })
        .collect();
    let mut connected = attempts.filter_map(|attempt| std::future::ready(attempt.ok()));
    let tcp = connected.next().await.ok_or(Failure::Connect)?;
    // Small requests must not wait for each other's acknowledgements.
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    Ok(tcp)
}
