//! A certificate by ACME (RFC 8555): ordered when there is none for the configured names, and again when two thirds of its
//! life are over.
//!
//! The challenge is TLS-ALPN-01 (RFC 8737), answered by the server's own listener, so that no second port is needed. Account and
//! certificate are kept in a folder, so that a restart orders nothing. An order that fails is repeated with growing pauses that
//! stay within the limits of public authorities, and costs nothing but a line in the log: what was served goes on being served.

mod kept;
mod order;
mod web;

use std::sync::Arc;
use std::time::Duration;

use domain::clock::{Clock, Timestamp};
use tokio_util::sync::CancellationToken;

use super::certificate::{Facts, from_pem};
use super::{Certificates, TlsError};
use crate::config::Acme;
use kept::Kept;
use order::OrderError;
use web::Web;

/// How often it is seen whether a certificate is to be renewed.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// How long to wait after the first failure, how much longer after each further one, and the most. Let's Encrypt takes five
/// failures for a name in an hour; this makes four.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const PAUSE_FACTOR: u32 = 4;
const PAUSE_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// Serves the certificate that is kept, and gives the work of having a good one until the server stops.
///
/// # Errors
/// If the folder cannot be used, or the outgoing connections cannot be set up. That an order fails is a line in the log.
pub(crate) fn keep_ordering(
    acme: Acme,
    tls: rustls::ClientConfig,
    certificates: Arc<Certificates>,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
) -> Result<impl Future<Output = ()> + Send, TlsError> {
    let kept = Kept::open(acme.folder.clone())?;
    let mut worker = Worker {
        facts: None,
        web: Web::new(tls),
        acme,
        kept,
        certificates,
        clock,
    };
    if let Some(text) = worker.kept.certificate()? {
        worker.serve(&text)?;
    }
    Ok(async move {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = worker.work() => {}
        }
    })
}

struct Worker {
    acme: Acme,
    web: Web,
    kept: Kept,
    certificates: Arc<Certificates>,
    clock: Arc<dyn Clock>,
    /// Of the certificate that is served.
    facts: Option<Facts>,
}

impl Worker {
    async fn work(&mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            if !self.is_due() {
                tokio::time::sleep(CHECK_EVERY).await;
                continue;
            }
            match self.order().await {
                Ok(()) => {
                    count("issued");
                    pause = FIRST_PAUSE;
                    let names = self.acme.names.join(", ");
                    tracing::info!(%names, "a new certificate is served");
                }
                Err(error) => {
                    count("failed");
                    tracing::error!(
                        %error, next_attempt_secs = pause.as_secs(),
                        "no certificate could be got from {}", self.acme.directory
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * PAUSE_FACTOR).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Whether a certificate is wanted: there is none, it is for other names, or two thirds of its life are over.
    fn is_due(&self) -> bool {
        let Some(facts) = &self.facts else {
            return true;
        };
        let mut wanted = self.acme.names.clone();
        wanted.sort();
        wanted.dedup();
        wanted != facts.names || self.clock.now() >= renewal(facts)
    }

    async fn order(&mut self) -> Result<(), OrderError> {
        let account = order::account(&self.acme, &self.web, &self.kept).await?;
        let text = order::certificate(&account, &self.acme.names, &self.certificates).await?;
        // What cannot be kept is served nevertheless; the next start orders again.
        let kept = self.kept.put_certificate(&text);
        self.serve(&text).map_err(OrderError::Unusable)?;
        kept.map_err(OrderError::NotKept)
    }

    fn serve(&mut self, text: &str) -> Result<(), TlsError> {
        let certificate = from_pem(text, &self.kept.certificate_path())?;
        self.facts = Facts::of(&certificate);
        self.certificates.serve(certificate);
        Ok(())
    }
}

fn renewal(facts: &Facts) -> Timestamp {
    let life = facts
        .ends
        .as_millis()
        .saturating_sub(facts.begins.as_millis());
    Timestamp::from_millis(facts.begins.as_millis().saturating_add(life / 3 * 2))
}

fn count(outcome: &'static str) {
    metrics::counter!("heliostat_acme_orders_total", "outcome" => outcome).increment(1);
}
