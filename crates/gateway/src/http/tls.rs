//! The TLS settings of all outbound connections.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::GatewayError;

/// TLS 1.2 and 1.3 with the system's roots and an extra one, offering HTTP/2 before HTTP/1.1.
///
/// # Errors
/// If the extra roots cannot be read, or there are no roots at all.
pub fn client_config(extra_ca_pem: Option<&[u8]>) -> Result<ClientConfig, GatewayError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "some of the system's root certificates could not be read");
    }
    let (_, unusable) = roots.add_parsable_certificates(native.certs);
    if unusable > 0 {
        tracing::warn!(
            unusable,
            "some of the system's root certificates are not used"
        );
    }
    if let Some(pem) = extra_ca_pem {
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| GatewayError::ExtraCa)?;
            roots.add(certificate).map_err(|_| GatewayError::ExtraCa)?;
        }
        if roots.len() == before {
            return Err(GatewayError::ExtraCa);
        }
    }
    if roots.is_empty() {
        return Err(GatewayError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| GatewayError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extra_root_that_is_none_is_an_error() {
        for pem in [
            "",
            "rubbish",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(
                matches!(
                    client_config(Some(pem.as_bytes())),
                    Err(GatewayError::ExtraCa)
                ),
                "{pem}"
            );
        }
    }
}
