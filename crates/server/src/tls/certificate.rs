//! A certificate as text and as what rustls serves, and what it says of itself.

use std::path::Path;

use domain::clock::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::TlsError;

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) begins: Timestamp,
    pub(super) ends: Timestamp,
    /// The host names, in lower case, sorted.
    pub(super) names: Vec<String>,
}

impl Facts {
    /// `None` if it is no X.509.
    pub(super) fn of(certificate: &CertifiedKey) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate.end_entity_cert().ok()?).ok()?;
        let named = parsed.subject_alternative_name().ok().flatten();
        let mut names: Vec<String> = named
            .iter()
            .flat_map(|named| &named.value.general_names)
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
            .collect();
        names.sort();
        let validity = parsed.validity();
        Some(Self {
            begins: Timestamp::from_secs(validity.not_before.timestamp()),
            ends: Timestamp::from_secs(validity.not_after.timestamp()),
            names,
        })
    }
}

/// Tells `/metrics` until when what is served is valid.
pub(super) fn note_end(certificate: &CertifiedKey) {
    if let Some(facts) = Facts::of(certificate) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a float, and seconds fit for millions of years"
        )]
        let ends = facts.ends.as_secs() as f64;
        metrics::gauge!("heliostat_certificate_expiry_timestamp_seconds").set(ends);
    }
}

/// Puts a chain and its key together; `path` is where they are from.
pub(super) fn fit(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    path: &Path,
) -> Result<CertifiedKey, TlsError> {
    let provider = aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|source| TlsError::Unfit {
        path: path.to_owned(),
        source,
    })
}

/// Reads a chain and its key that stand behind each other in one text.
pub(super) fn from_pem(text: &str, path: &Path) -> Result<CertifiedKey, TlsError> {
    let failed = |what| {
        move |source| TlsError::File {
            what,
            path: path.to_owned(),
            source,
        }
    };
    let chain: Result<Vec<_>, pem::Error> =
        CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let chain = chain.map_err(failed("certificates"))?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(failed("a private key"))?;
    fit(chain, key, path)
}
