//! Where a destination's connections go: a host, a port, and the name its certificate must bear.

use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use rustls::pki_types::ServerName;
use std::net::{IpAddr, SocketAddr};
use url::{Host, Url};

/// A host and port, reached by https.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Set where the host is written as an address.
    literal: Option<SocketAddr>,
    host: Box<str>,
    port: u16,
    authority: Authority,
    /// Without TLS.
    plain: bool,
    server_name: ServerName<'static>,
}

impl Target {
    /// The target of a URL. `None` where it is not https, has no host, or a host that no certificate can name.
    pub(crate) fn new(url: &Url) -> Option<Self> {
        (url.scheme() == "https").then(|| Self::of(url)).flatten()
    }

    /// The same, but that http will do.
    pub(crate) fn perhaps_plain(url: &Url) -> Option<Self> {
        matches!(url.scheme(), "https" | "http")
            .then(|| Self::of(url))
            .flatten()
    }

    fn of(url: &Url) -> Option<Self> {
        let port = url.port_or_known_default()?;
        let host = url.host_str()?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let address: Option<IpAddr> = match url.host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        };
        let server_name = match address {
            Some(address) => ServerName::IpAddress(address.into()),
            None => ServerName::try_from(host.to_owned()).ok()?,
        };
        Some(Self {
            literal: address.map(|address| SocketAddr::new(address, port)),
            host: host.into(),
            port,
            authority: Authority::try_from(authority).ok()?,
            plain: url.scheme() == "http",
            server_name,
        })
    }

    pub(super) fn literal(&self) -> Option<SocketAddr> {
        self.literal
    }

    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn server_name(&self) -> ServerName<'static> {
        self.server_name.clone()
    }

    /// The URI of a path on this host.
    pub(crate) fn uri(&self, path: PathAndQuery) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if self.plain {
            Scheme::HTTP
        } else {
            Scheme::HTTPS
        });
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        // With all three parts there is nothing left that could be wrong.
        Uri::from_parts(parts).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_targets() {
        let target = |url: &str| Target::new(&Url::parse(url).unwrap());
        let named = target("https://push.example/a?b").unwrap();
        assert_eq!(
            (named.host(), named.port(), named.literal()),
            ("push.example", 443, None)
        );
        assert_eq!(
            named.uri(PathAndQuery::from_static("/x?y")),
            "https://push.example/x?y"
        );
        let literal = target("https://[::1]:8443/").unwrap();
        assert_eq!(literal.literal(), Some("[::1]:8443".parse().unwrap()));
        assert_eq!(
            literal.uri(PathAndQuery::from_static("/")),
            "https://[::1]:8443/"
        );
        assert!(target("http://push.example/").is_none());
        let plain = Url::parse("http://app.example/").unwrap();
        let plain = Target::perhaps_plain(&plain).unwrap();
        assert_eq!((plain.port(), plain.is_plain()), (80, true));
        assert!(target("https://exa_mple..com/").is_none());
    }
}
