//! Puts a client together: where the server is, whom its TLS trusts, how long it waits.
//!
//! Nothing global is touched: the TLS configuration names its cryptographic provider itself.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::clock::SystemClock;
use domain::instance::{InstanceId, SecretKey};
use reqwest::header::HeaderValue;
use reqwest::{Url, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::{Client, Error, ValidationError};

/// Where a server listens that was told nothing else.
pub const DEFAULT_BASE_URL: &str = "http://127.0.0.1:8080";
/// How long a request may take, from its start to the last byte of its answer, unless told otherwise.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// How long connecting may take within that.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client in the making; see [`Client::builder`]. Whatever is wrong is told by [`ClientBuilder::build`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ClientBuilder {
    instance_id: String,
    secret_key: Result<SecretKey, ValidationError>,
    base_url: String,
    timeout: Duration,
    roots_pem: Vec<Vec<u8>>,
}

impl ClientBuilder {
    pub(crate) fn new(instance_id: &str, secret_key: &str) -> Self {
        Self {
            instance_id: instance_id.into(),
            secret_key: SecretKey::parse(secret_key).map_err(ValidationError::SecretKey),
            base_url: DEFAULT_BASE_URL.into(),
            timeout: TIMEOUT_DEFAULT,
            roots_pem: Vec::new(),
        }
    }

    /// Where the server is: an http or https URL, with a path if the server stands behind one. Hosted Beams is
    /// `https://<instance id>.pushnotifications.pusher.com`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = url.into();
        self
    }

    /// How long a request may take in all; [`TIMEOUT_DEFAULT`] unless set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Trusts these certificate authorities, one or more in PEM, beside those of the operating system.
    pub fn extra_root_ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots_pem.push(pem.into());
        self
    }

    /// The client, or what is wrong with what was given.
    pub fn build(self) -> Result<Client, Error> {
        let instance = InstanceId::parse(&self.instance_id).map_err(ValidationError::InstanceId)?;
        let secret_key = self.secret_key?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", secret_key.reveal()))
            .map_err(|_| ValidationError::SecretKey(domain::instance::InvalidSecretKey))?;
        authorization.set_sensitive(true);
        let (base_url, http) = http(&self.base_url, self.timeout, &self.roots_pem)?;
        Ok(Client {
            instance,
            secret_key,
            base_url,
            authorization,
            http,
            clock: Arc::new(SystemClock),
        })
    }
}

/// What makes requests to a server, and its URL without a slash at the end.
pub(crate) fn http(
    base_url: &str,
    timeout: Duration,
    roots_pem: &[Vec<u8>],
) -> Result<(Arc<str>, reqwest::Client), Error> {
    let url = parse_base_url(base_url)?;
    let mut http = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(url.scheme() == "https", roots_pem)?)
        // The secret key goes to the server that was named and to no other.
        .redirect(redirect::Policy::none())
        // A publish is not idempotent.
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout);
    if is_loopback(&url) {
        http = http.no_proxy();
    }
    let http = http
        .build()
        .map_err(|error| Error::Tls(error.to_string()))?;
    Ok((url.as_str().trim_end_matches('/').into(), http))
}

fn parse_base_url(text: &str) -> Result<Url, ValidationError> {
    let bad = |rule| Err(ValidationError::BaseUrl(rule));
    let Ok(url) = Url::parse(text) else {
        return bad("a URL such as https://push.example.com");
    };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return bad("an http or https URL such as https://push.example.com");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return bad("without user info");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return bad("without query and fragment");
    }
    Ok(url)
}

/// A proxy that the environment names cannot reach a server on this machine.
fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    })
}

/// Trusts the operating system's roots and the extra ones. For plain http nothing is read.
fn tls(https: bool, extra: &[Vec<u8>]) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    if https {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    for pem in extra {
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let bad = |why: String| ValidationError::RootCertificate(why);
            let certificate = certificate.map_err(|error| bad(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| bad(error.to_string()))?;
        }
        if roots.len() == before {
            return Err(
                ValidationError::RootCertificate("it has no PEM certificate".into()).into(),
            );
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTANCE: &str = "3f1b8f8e-6d5c-4f5e-9c53-5d0a4f6a3c11";

    fn problem(builder: ClientBuilder) -> ValidationError {
        match builder.build() {
            Err(Error::Validation(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_what_is_wrong() {
        use ValidationError as V;
        assert!(matches!(
            problem(Client::builder("abe1212381f60", "k")),
            V::InstanceId(_)
        ));
        assert!(matches!(
            problem(Client::builder(INSTANCE, "")),
            V::SecretKey(_)
        ));
        assert!(matches!(
            problem(Client::builder(INSTANCE, "a\nb")),
            V::SecretKey(_)
        ));
        for url in [
            "",
            "push.example.com",
            "ftp://h",
            "unix:/x",
            "https://u:p@h",
            "http://h?x",
            "http://h#x",
        ] {
            let error = problem(Client::builder(INSTANCE, "k").base_url(url));
            assert!(matches!(error, V::BaseUrl(_)), "{url}: {error}");
        }
        for pem in [
            "",
            "nonsense",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            let error = problem(Client::builder(INSTANCE, "k").extra_root_ca_pem(pem));
            assert!(matches!(error, V::RootCertificate(_)), "{pem}: {error}");
        }
    }

    #[test]
    fn nothing_secret_in_debug() {
        let builder = Client::builder(INSTANCE, "hunter2");
        assert!(!format!("{builder:?}").contains("hunter2"));
        assert!(!format!("{:?}", builder.build().unwrap()).contains("hunter2"));
    }

    #[test]
    fn a_path_and_a_slash_are_kept_straight() {
        let at = |url| {
            let client = Client::builder(INSTANCE, "k")
                .base_url(url)
                .build()
                .unwrap();
            client.base_url.to_string()
        };
        assert_eq!(at("https://h:8443/"), "https://h:8443");
        assert_eq!(at("https://h/push/"), "https://h/push");
    }

    #[test]
    fn loopback_is_recognised() {
        let is = |url: &str| is_loopback(&Url::parse(url).unwrap());
        assert!(is("http://127.0.0.1:1") && is("http://[::1]:1") && is("http://localhost"));
        assert!(!is("http://10.0.0.1") && !is("https://localhost.example.com"));
    }
}
