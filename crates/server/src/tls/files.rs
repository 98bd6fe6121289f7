//! A certificate in files that the operator, or a program of theirs, replaces when it is renewed.
//!
//! Files are compared by their contents: a renewed certificate may come by rename, through a symbolic link (Kubernetes) or in
//! place. Whoever replaces two files is met half-way now and then; what does not fit is left for the next look.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{Certificates, TlsError, certificate};
use crate::config::TlsFiles;

/// What the files had in them; `None` where one cannot be read.
#[derive(PartialEq, Eq)]
struct Seen {
    certificate: Option<Vec<u8>>,
    key: Option<Zeroizing<Vec<u8>>>,
}

impl Seen {
    fn look(files: &TlsFiles) -> Self {
        Self {
            certificate: std::fs::read(&files.certificate).ok(),
            key: std::fs::read(&files.key).ok().map(Zeroizing::new),
        }
    }
}

/// Serves what is in the files, and gives the work of keeping to it until the server stops.
///
/// # Errors
/// If the files cannot be used now. Later, that is a line in the log, and what was served before goes on being served.
pub(crate) fn keep_reading(
    files: TlsFiles,
    certificates: Arc<Certificates>,
    stopping: CancellationToken,
) -> Result<impl Future<Output = ()> + Send, TlsError> {
    // Looked at before it is read, so that a change in between is seen as one.
    let mut seen = Seen::look(&files);
    certificates.serve(read(&files)?);
    let files = Arc::new(files);
    Ok(async move {
        while !stopped_within(&stopping, files.check_every).await {
            // Files may lie where a read takes long.
            let looked_at = Arc::clone(&files);
            let look = move || {
                let now = Seen::look(&looked_at);
                let read = (now != seen).then(|| read(&looked_at));
                (now, read)
            };
            let Ok((now, read)) = tokio::task::spawn_blocking(look).await else {
                return;
            };
            seen = now;
            match read {
                None => {}
                Some(Ok(certificate)) => {
                    count("used");
                    certificates.serve(certificate);
                    let path = files.certificate.display();
                    tracing::info!(%path, "the certificate has changed; new connections get it");
                }
                Some(Err(error)) => {
                    count("refused");
                    tracing::error!(
                        %error,
                        "the certificate has changed and cannot be used; the one from before goes on being served"
                    );
                }
            }
        }
    })
}

fn count(outcome: &'static str) {
    metrics::counter!("heliostat_certificate_changes_total", "outcome" => outcome).increment(1);
}

async fn stopped_within(stopping: &CancellationToken, time: Duration) -> bool {
    tokio::time::timeout(time, stopping.cancelled())
        .await
        .is_ok()
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| TlsError::File {
        what: "a private key",
        path: files.key.clone(),
        source,
    })?;
    certificate::fit(chain, key, &files.certificate)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::File {
        what: "certificates",
        path: path.to_owned(),
        source,
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(failed)?;
    if chain.is_empty() {
        return Err(failed(pem::Error::NoItemsFound));
    }
    Ok(chain)
}
