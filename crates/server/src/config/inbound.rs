//! How requests come in: certificates, proxies, the listener for those who watch the server.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

/// Where the server's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// The operator puts it there.
    Files(TlsFiles),
    /// The server gets it itself.
    Acme(Acme),
}

/// Certificate and key of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, PEM, the server's own first.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// How often they are looked at, to see whether they have changed.
    pub check_every: Duration,
}

/// A certificate by ACME (RFC 8555).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// The directory of the certificate authority.
    pub directory: Url,
    /// The names that the certificate is for, in lower case; one at least.
    pub names: Vec<String>,
    /// Whom the authority may write to: `mailto:`.
    pub contact: Option<String>,
    /// Where account and certificate are kept.
    pub folder: PathBuf,
}

/// Which headers proxies tell in whom they met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedBy {
    /// `X-Forwarded-For`, `-Proto` and `-Host`.
    XForwarded,
    /// `Forwarded` of RFC 7239.
    Forwarded,
}

/// The proxies before the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxies {
    /// Where they are. Nobody else is believed.
    pub trusted: Vec<IpNet>,
    /// How they tell.
    pub forwarded_by: ForwardedBy,
}
