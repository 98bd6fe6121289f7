//! `heliostat health`: whether the server of this configuration can work, for a container's health check.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use server::config::Config;

use super::failure::Failure;
use super::output::print;
use super::settings::Settings;

/// How long the server may take: it gives up on its database after five seconds itself.
const TIMEOUT: Duration = Duration::from_secs(6);

/// Ask the running server whether it can work.
///
/// Asks /readyz at the address that the configuration tells the server to listen on, and fails unless the answer is 200.
#[derive(Debug, Args)]
pub(crate) struct Health {
    /// Where the server listens [env: HELIOSTAT_LISTEN] [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

impl Health {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let config = self.settings.load_with(server::config::Overrides {
            listen: self.listen,
            ..server::config::Overrides::default()
        })?;
        let url = url(&config);
        let failed = |error: reqwest::Error| {
            let why = std::error::Error::source(&error).map_or(error.to_string(), chain);
            Failure::new(format!("there is no answer at {url}: {why}"))
        };
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls()?)
            .no_proxy()
            .timeout(TIMEOUT)
            .build()
            .map_err(failed)?;
        let response = client.get(&url).send().await.map_err(failed)?;
        let status = response.status();
        if status.is_success() {
            return print("ready");
        }
        let body = response.text().await.unwrap_or_default();
        Err(Failure::new(format!(
            "the server answers {}: {body}",
            status.as_u16()
        )))
    }
}

/// The innermost cause says the most.
fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), chain)
}

/// What listens on all addresses listens on loopback too.
fn url(config: &Config) -> String {
    let mut address = config.listen;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("{}://{address}/readyz", config.scheme())
}

/// Takes any certificate: it names the host that clients ask for and not this address, nothing secret is sent, and whether it is
/// the right one is for clients to say.
fn tls() -> Result<ClientConfig, Failure> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let any = Arc::new(AnyCertificate(Arc::clone(&provider)));
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(format!("cannot set up TLS: {error}")))
        .map(|builder| {
            builder
                .dangerous()
                .with_custom_certificate_verifier(any)
                .with_no_client_auth()
        })
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
