//! The server's own certificate, for https: where it comes from, and which one a connection gets.
//!
//! Invariant: what [`Certificates`] serves was usable when it was put there; replacing it concerns connections that begin, never
//! those that are open.

mod acme;
mod certificate;
mod files;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::pki_types::pem;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

pub(crate) use acme::keep_ordering;
pub(crate) use files::keep_reading;

/// What an authority names in the handshake when it looks for the answer to its challenge (RFC 8737).
pub(crate) const CHALLENGE_PROTOCOL: &[u8] = b"acme-tls/1";

/// Why the server cannot speak https.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is no PEM of what it should be.
    #[error("cannot read {what} from {path}: {source}")]
    File {
        /// What should be in it.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: pem::Error,
    },
    /// Certificate and key do not fit each other, or are of no use.
    #[error("the certificate {path} is of no use: {source}")]
    Unfit {
        /// The file of the certificate.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The directory for the account and the certificate cannot be made or read.
    #[error("cannot use the directory of `acme.folder`, {path}: {source}")]
    Folder {
        /// Which directory, or which file in it.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The library refuses what it is given.
    #[error("TLS cannot be set up: {0}")]
    SetUp(#[source] rustls::Error),
}

/// The certificates that connections get.
#[derive(Default)]
pub(crate) struct Certificates {
    current: RwLock<Option<Arc<CertifiedKey>>>,
    /// By name, while an authority looks for them.
    challenges: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

impl Certificates {
    /// From now on every connection that begins gets this one.
    pub(crate) fn serve(&self, certificate: CertifiedKey) {
        certificate::note_end(&certificate);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Some(Arc::new(certificate));
    }

    /// An authority that asks for this name gets this one, until the answer is dropped.
    fn answer(self: &Arc<Self>, name: String, certificate: CertifiedKey) -> Answer {
        let mut challenges = self
            .challenges
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        challenges.insert(name.clone(), Arc::new(certificate));
        drop(challenges);
        Answer {
            certificates: Arc::clone(self),
            name,
        }
    }
}

impl ResolvesServerCert for Certificates {
    /// The same for every name, because clients ask for one that the operator chose, or for none; but for an authority that
    /// looks for an answer, that.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.alpn().and_then(|mut protocols| protocols.next());
        if asked == Some(CHALLENGE_PROTOCOL) {
            let challenges = self
                .challenges
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            return challenges.get(hello.server_name()?).cloned();
        }
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates(…)")
    }
}

/// An answer to a challenge, given until dropped.
struct Answer {
    certificates: Arc<Certificates>,
    name: String,
}

impl Drop for Answer {
    fn drop(&mut self) {
        let challenges = self.certificates.challenges.write();
        let mut challenges = challenges.unwrap_or_else(PoisonError::into_inner);
        challenges.remove(&self.name);
    }
}

/// Tells `/metrics` what the names mean.
pub(crate) fn describe() {
    metrics::describe_gauge!(
        "heliostat_certificate_expiry_timestamp_seconds",
        metrics::Unit::Seconds,
        "When the certificate that is served ends, since the Unix epoch."
    );
    metrics::describe_counter!(
        "heliostat_certificate_changes_total",
        "Changed certificate files, by outcome: used or refused."
    );
    metrics::describe_counter!(
        "heliostat_acme_orders_total",
        "Orders of a certificate by ACME, by outcome: issued or failed."
    );
}

/// Speaks TLS with these certificates. HTTP/2 is offered before HTTP/1.1.
pub(crate) fn acceptor(
    certificates: Arc<Certificates>,
    answers_challenges: bool,
) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::SetUp)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if answers_challenges {
        config.alpn_protocols.push(CHALLENGE_PROTOCOL.to_vec());
    }
    Ok(TlsAcceptor::from(Arc::new(config)))
}
