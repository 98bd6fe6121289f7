//! Where requests may go whose address somebody else chose: Web Push endpoints, token endpoints of credential files, webhooks.
//!
//! The form of a URL is checked when it is registered ([`Guard::check_url`]) and again when it is used; the addresses of its
//! host are checked each time they are resolved, and the connection is made to those very addresses. Invariant: if one
//! address of a host is refused, the host is refused.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use url::{Host, Url};

use super::address::is_public;

/// The port that needs no exception.
const HTTPS_PORT: u16 = 443;

/// Why a URL may not be called. Says nothing about what a name resolved to, since the asker could scan networks by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not an absolute URL.
    #[error("it is no URL")]
    NotUrl,
    /// Another scheme than https.
    #[error("it is not https")]
    NotHttps,
    /// A user name or password before the host.
    #[error("it has user info")]
    UserInfo,
    /// An empty host, or one with a trailing dot.
    #[error("its host is not written as a host is")]
    HostForm,
    /// A port other than 443, towards an address that is no configured exception.
    #[error("its port is not 443")]
    Port,
    /// An address that is not public and no configured exception.
    #[error("its host is not in the public internet")]
    Address,
}

/// The rules, with what the operator excepts and what the operator denies.
#[derive(Clone, Default)]
pub struct Guard {
    allow: Vec<IpNet>,
    allow_webhooks: Vec<IpNet>,
    deny: Vec<IpNet>,
}

impl Guard {
    /// A guard that lets through public addresses, and those in `allow` on any port.
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self {
            allow,
            ..Self::default()
        }
    }

    /// The same, but that webhooks may lead to these networks as well.
    #[must_use]
    pub fn excepting_for_webhooks(mut self, networks: Vec<IpNet>) -> Self {
        self.allow_webhooks = networks;
        self
    }

    /// The same, but that nothing may lead to these networks, whatever else is said of them.
    #[must_use]
    pub fn denying(mut self, networks: Vec<IpNet>) -> Self {
        self.deny = networks;
        self
    }

    /// The guard of webhooks alone: what is excepted for them is excepted.
    pub(crate) fn of_webhooks(&self) -> Self {
        Self {
            allow: [&*self.allow, &*self.allow_webhooks].concat(),
            allow_webhooks: Vec::new(),
            deny: self.deny.clone(),
        }
    }

    /// Checks the form of a URL, and its address where that is written out. Asks no name server, so a name that passes may
    /// still be refused when it is used.
    ///
    /// # Errors
    /// The first rule that the URL breaks.
    pub fn check_url(&self, url: &str) -> Result<(), Refused> {
        self.check_parsed(&Url::parse(url).map_err(|_| Refused::NotUrl)?)
    }

    /// [`Guard::check_url`] for the URL of a webhook, which may be plain http towards the operator's exceptions: an app's
    /// backend often has no TLS inside its own network.
    ///
    /// # Errors
    /// The first rule that the URL breaks.
    pub fn check_webhook(&self, url: &str) -> Result<(), Refused> {
        let guard = self.of_webhooks();
        guard.check_webhook_parsed(&Url::parse(url).map_err(|_| Refused::NotUrl)?)
    }

    /// The same for a URL that was parsed already, by the guard of webhooks.
    pub(crate) fn check_webhook_parsed(&self, url: &Url) -> Result<(), Refused> {
        if url.scheme() != "http" {
            return self.check_parsed(url);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::UserInfo);
        }
        let is_excepted = match url.host() {
            None => return Err(Refused::HostForm),
            Some(Host::Ipv4(address)) => self.is_excepted(address.into()),
            Some(Host::Ipv6(address)) => self.is_excepted(address.into()),
            // Which addresses the name has is not known yet.
            Some(Host::Domain(_)) => !self.allow.is_empty(),
        };
        if is_excepted {
            Ok(())
        } else {
            Err(Refused::NotHttps)
        }
    }

    /// Checks all addresses that a name resolved to which is to be reached without TLS.
    pub(crate) fn check_plain_addresses(&self, addresses: &[SocketAddr]) -> Result<(), Refused> {
        let all = addresses.iter().all(|at| self.is_excepted(at.ip()));
        if all { Ok(()) } else { Err(Refused::NotHttps) }
    }

    /// [`Guard::check_url`] for a URL that was parsed already. Parsing has brought every way of writing an IPv4 address
    /// (octal, hexadecimal, one number, fewer dots) to the usual one, and refused zone ids.
    pub(crate) fn check_parsed(&self, url: &Url) -> Result<(), Refused> {
        if url.scheme() != "https" {
            return Err(Refused::NotHttps);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::UserInfo);
        }
        let port = url.port_or_known_default().unwrap_or(HTTPS_PORT);
        match url.host() {
            None => Err(Refused::HostForm),
            Some(Host::Ipv4(address)) => self.check_address(SocketAddr::new(address.into(), port)),
            Some(Host::Ipv6(address)) => self.check_address(SocketAddr::new(address.into(), port)),
            Some(Host::Domain(name)) if name.is_empty() || name.ends_with('.') => {
                Err(Refused::HostForm)
            }
            // Which addresses the name has is not known yet; without any exception no answer can make the port right.
            Some(Host::Domain(_)) if port != HTTPS_PORT && self.allow.is_empty() => {
                Err(Refused::Port)
            }
            Some(Host::Domain(_)) => Ok(()),
        }
    }

    /// Checks all addresses that a name resolved to.
    pub(crate) fn check_addresses(&self, addresses: &[SocketAddr]) -> Result<(), Refused> {
        addresses
            .iter()
            .try_for_each(|address| self.check_address(*address))
    }

    fn check_address(&self, address: SocketAddr) -> Result<(), Refused> {
        if self.is_excepted(address.ip()) {
            return Ok(());
        }
        if !is_public(address.ip()) || self.is_denied(address.ip()) {
            return Err(Refused::Address);
        }
        if address.port() == HTTPS_PORT {
            Ok(())
        } else {
            Err(Refused::Port)
        }
    }

    fn is_excepted(&self, address: IpAddr) -> bool {
        !self.is_denied(address) && is_in(&self.allow, address)
    }

    fn is_denied(&self, address: IpAddr) -> bool {
        is_in(&self.deny, address)
    }
}

/// An IPv4-mapped address is where the IPv4 address is that it stands for: connecting to it connects there.
fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    let canonical = address.to_canonical();
    networks
        .iter()
        .any(|network| network.contains(&address) || network.contains(&canonical))
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exceptions = self.allow.len() + self.allow_webhooks.len();
        write!(
            f,
            "Guard({exceptions} exceptions, {} denied)",
            self.deny.len()
        )
    }
}

#[cfg(test)]
mod forms;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(url: &str) -> Result<(), Refused> {
        Guard::default().check_url(url)
    }

    #[test]
    fn ordinary_endpoints_pass() {
        for url in [
            "https://fcm.googleapis.com/fcm/send/abc",
            "https://updates.push.services.mozilla.com/wpush/v2/abc",
            "https://web.push.apple.com:443/QOabc",
            "https://8.8.8.8/x",
            "https://[2606:4700:4700::1111]/x",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn exceptions_open_their_addresses_on_any_port_and_no_others() {
        let guard = Guard::new(vec![
            "127.0.0.0/8".parse().unwrap(),
            "fd00::/8".parse().unwrap(),
        ]);
        for url in [
            "https://127.0.0.1:8443/",
            "https://127.1/",
            "https://[::ffff:127.0.0.1]:1/",
            "https://[fd00::1]:9/",
            "https://push.internal:8443/",
        ] {
            assert_eq!(guard.check_url(url), Ok(()), "{url}");
        }
        assert_eq!(guard.check_url("http://127.0.0.1/"), Err(Refused::NotHttps));
        assert_eq!(guard.check_url("https://10.0.0.1/"), Err(Refused::Address));
        assert_eq!(guard.check_url("https://[::1]/"), Err(Refused::Address));
        assert_eq!(guard.check_url("https://8.8.8.8:8443/"), Err(Refused::Port));
    }

    #[test]
    fn one_refused_address_refuses_the_name() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let guard = Guard::new(vec!["127.0.0.1/32".parse().unwrap()]);
        assert_eq!(
            guard.check_addresses(&[at("8.8.8.8:443"), at("1.1.1.1:443")]),
            Ok(())
        );
        assert_eq!(
            guard.check_addresses(&[at("8.8.8.8:443"), at("10.0.0.1:443")]),
            Err(Refused::Address)
        );
        assert_eq!(
            guard.check_addresses(&[at("8.8.8.8:443"), at("[::ffff:10.0.0.1]:443")]),
            Err(Refused::Address)
        );
        assert_eq!(
            guard.check_addresses(&[at("127.0.0.1:8443"), at("8.8.8.8:8443")]),
            Err(Refused::Port)
        );
        assert_eq!(guard.check_addresses(&[at("127.0.0.1:8443")]), Ok(()));
    }

    #[test]
    fn plain_webhooks_reach_exceptions_alone() {
        let none = Guard::default();
        for url in [
            "http://127.0.0.1/",
            "http://8.8.8.8/",
            "http://app.example/",
        ] {
            assert_eq!(none.check_webhook(url), Err(Refused::NotHttps), "{url}");
        }
        assert_eq!(none.check_webhook("https://app.example/"), Ok(()));
        let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap()]);
        for url in [
            "http://127.1:3000/",
            "http://app.internal:8080/x",
            "https://127.0.0.1:1/",
        ] {
            assert_eq!(guard.check_webhook(url), Ok(()), "{url}");
        }
        for (url, why) in [
            ("http://10.0.0.1/", Refused::NotHttps),
            ("http://8.8.8.8/", Refused::NotHttps),
            ("http://[::1]/", Refused::NotHttps),
            ("http://u:p@127.0.0.1/", Refused::UserInfo),
            ("ftp://127.0.0.1/", Refused::NotHttps),
            ("https://10.0.0.1/", Refused::Address),
        ] {
            assert_eq!(guard.check_webhook(url), Err(why), "{url}");
        }
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(guard.check_plain_addresses(&[at("127.0.0.9:80")]), Ok(()));
        let mixed = [at("127.0.0.9:80"), at("8.8.8.8:80")];
        assert_eq!(guard.check_plain_addresses(&mixed), Err(Refused::NotHttps));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            let _ = check(&text);
            let _ = check(&format!("https://{text}"));
        }

        #[test]
        fn no_spelling_of_an_ipv4_address_changes_the_answer(bits: u32) {
            let address = std::net::Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = address.octets();
            let expected = check(&format!("https://{address}/"));
            for host in [
                format!("{bits}"),
                format!("{bits:#x}"),
                format!("{a:#o}.{b}.{c}.{d}").replace("0o", "0"),
                format!("{a}.{}", bits & 0x00ff_ffff),
                format!("{a}.{b}.{}", bits & 0xffff),
            ] {
                prop_assert_eq!(check(&format!("https://{host}/")), expected, "{}", host);
            }
        }
    }
}
