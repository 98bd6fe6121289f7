//! Where a request comes from: the client's address, and what it called this server.
//!
//! Anybody can write `Forwarded` and `X-Forwarded-*`, so they are believed only of the proxies that are configured. Each proxy
//! adds at the end what it met; the list is walked from there, and ends at the first address that is no such proxy's: that is the
//! client, and what stands before it the client's own invention. Of the two kinds of header only the configured one is
//! read, because a proxy that writes one may pass the other through from outside.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, header};
use ipnet::IpNet;

use super::Api;
use super::error::ApiError;
use crate::config::{ForwardedBy, Proxies};

/// The other end of the connection that a request came over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Whether the connection speaks TLS.
    pub(crate) tls: bool,
}

/// Where a request comes from, behind all proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The client's address; IPv4 never wrapped in IPv6.
    pub(crate) address: IpAddr,
    /// Whether the client speaks https.
    pub(crate) https: bool,
    /// What the client called the host, with its port if it named one.
    pub(crate) host: Option<Authority>,
}

impl Origin {
    /// Of a request that came over this connection with these headers.
    pub(super) fn of(
        peer: Peer,
        headers: &HeaderMap,
        uri: &http::Uri,
        proxies: &Proxies,
    ) -> Result<Self, ApiError> {
        let asked = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let direct = Self {
            address: peer.address.ip().to_canonical(),
            https: peer.tls,
            // HTTP/2 has it in the URI.
            host: uri
                .authority()
                .map(Authority::as_str)
                .and_then(authority)
                .or_else(|| asked.and_then(authority)),
        };
        match proxies.forwarded_by {
            ForwardedBy::XForwarded => Ok(x_forwarded(direct, headers, &proxies.trusted)),
            ForwardedBy::Forwarded => forwarded(direct, headers, &proxies.trusted),
        }
    }

    /// What the client called this server, without a slash at the end; `None` if it did not say.
    pub(crate) fn url(&self) -> Option<String> {
        let scheme = if self.https { "https" } else { "http" };
        self.host.as_ref().map(|host| format!("{scheme}://{host}"))
    }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get().cloned().unwrap_or(Self {
            address: Ipv4Addr::UNSPECIFIED.into(),
            https: false,
            host: None,
        }))
    }
}

/// Notes where a request comes from, for all that is behind.
pub(crate) async fn note(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    if let Some(peer) = request.extensions().get::<Peer>().copied() {
        match Origin::of(peer, request.headers(), request.uri(), &api.shared.proxies) {
            Ok(origin) => request.extensions_mut().insert(origin),
            Err(error) => return error.into_response(),
        };
    }
    next.run(request).await
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// `X-Forwarded-For`, `-Proto` and `-Host`. The last two are usually one value; of several, the one that the nearest proxy wrote
/// counts.
fn x_forwarded(direct: Origin, headers: &HeaderMap, trusted: &[IpNet]) -> Origin {
    if !is_trusted(direct.address, trusted) {
        return direct;
    }
    let mut address = direct.address;
    for hop in values(headers, "x-forwarded-for").rev() {
        let Some(hop) = hop_address(hop).filter(|_| is_trusted(address, trusted)) else {
            break;
        };
        address = hop;
    }
    let last = |name| values(headers, name).next_back();
    Origin {
        address,
        https: last("x-forwarded-proto").map_or(direct.https, is_https),
        host: last("x-forwarded-host").and_then(authority).or(direct.host),
    }
}

/// `Forwarded` of RFC 7239. Each element is what one proxy met; host and proto are taken of the same that names the client.
///
/// What a client writes there, and the host that it asks for, stand in the same line as what the proxy says, so the line is
/// believed only if it is whole: a quote that is not closed would let the client say where the proxy's words begin.
fn forwarded(direct: Origin, headers: &HeaderMap, trusted: &[IpNet]) -> Result<Origin, ApiError> {
    let mut origin = direct;
    if !is_trusted(origin.address, trusted) {
        return Ok(origin);
    }
    let mut elements = Vec::new();
    for line in headers.get_all(header::FORWARDED) {
        let line = line.to_str().map_err(|_| ApiError::Forwarded)?;
        elements.extend(unquoted(line, ',').ok_or(ApiError::Forwarded)?);
    }
    for element in elements
        .into_iter()
        .rev()
        .filter(|element| !element.is_empty())
    {
        if !is_trusted(origin.address, trusted) {
            break;
        }
        let pairs = unquoted(element, ';').ok_or(ApiError::Forwarded)?;
        let of = |name: &str| {
            let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
            let mut named = pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
            named.next().map(|(_, value)| bare(value.trim()))
        };
        if let Some(proto) = of("proto") {
            origin.https = is_https(proto);
        }
        if let Some(host) = of("host").and_then(authority) {
            origin.host = Some(host);
        }
        match of("for").and_then(hop_address) {
            Some(address) => origin.address = address,
            // A proxy that hides whom it met ("unknown", "_name") ends the walk.
            None => break,
        }
    }
    Ok(origin)
}

/// The parts between separators that stand outside of quoted strings (RFC 9110 section 5.6.4); `None` if one is not closed.
fn unquoted(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut from) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if char == separator && !quoted => {
                parts.push(text[from..at].trim());
                from = at + char.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    (!quoted).then_some(parts)
}

/// A value without its quotes. What is escaped in it stays so, and is no address then.
fn bare(value: &str) -> &str {
    let inside = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inside.unwrap_or(value)
}

/// The elements of a list that may stand in several lines (RFC 9110 section 5.3).
fn values<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> impl DoubleEndedIterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.to_str().unwrap_or_default().split(','))
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

fn is_https(proto: &str) -> bool {
    proto.eq_ignore_ascii_case("https")
}

fn authority(text: &str) -> Option<Authority> {
    // Who is asked for is a host, never a user.
    text.parse().ok().filter(|_| !text.contains('@'))
}

/// An address with or without a port, IPv6 with or without brackets.
fn hop_address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = text.parse::<SocketAddr>().map(|address| address.ip());
    let address = address.or_else(|_| bare.parse()).ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(peer: &str, forwarded_by: ForwardedBy, lines: &[(&'static str, &str)]) -> Origin {
        let proxies = Proxies {
            trusted: ["10.0.0.0/8", "fd00::/8"]
                .map(|net| net.parse().unwrap())
                .to_vec(),
            forwarded_by,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let peer = Peer {
            address: SocketAddr::new(peer.parse().unwrap(), 4711),
            tls: false,
        };
        Origin::of(peer, &headers, &http::Uri::from_static("/"), &proxies).unwrap()
    }

    fn address(peer: &str, lines: &[(&'static str, &str)]) -> String {
        of(peer, ForwardedBy::XForwarded, lines).address.to_string()
    }

    #[test]
    fn strangers_are_not_believed() {
        let lies = [
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
            ("forwarded", "for=192.0.2.1;proto=https;host=evil.example"),
            ("host", "push.example.com"),
        ];
        for by in [ForwardedBy::XForwarded, ForwardedBy::Forwarded] {
            let origin = of("203.0.113.9", by, &lies);
            assert_eq!(origin.address.to_string(), "203.0.113.9");
            assert_eq!(origin.url().unwrap(), "http://push.example.com");
        }
    }

    #[test]
    fn a_user_in_the_url_is_not_the_host() {
        let peer = Peer {
            address: "203.0.113.9:4711".parse().unwrap(),
            tls: true,
        };
        let proxies = Proxies {
            trusted: Vec::new(),
            forwarded_by: ForwardedBy::XForwarded,
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "push.example.com".parse().unwrap());
        for (uri, wanted) in [
            ("https://other.example/x", "https://other.example"),
            ("https://u:p@other.example/x", "https://push.example.com"),
        ] {
            let origin = Origin::of(peer, &headers, &uri.parse().unwrap(), &proxies).unwrap();
            assert_eq!(origin.url().unwrap(), wanted);
        }
    }

    #[test]
    fn the_client_is_the_last_that_is_no_proxy() {
        let list = |text| [("x-forwarded-for", text)];
        assert_eq!(address("10.0.0.1", &list("192.0.2.1")), "192.0.2.1");
        assert_eq!(
            address("10.0.0.1", &list("6.6.6.6, 192.0.2.1")),
            "192.0.2.1"
        );
        assert_eq!(
            address("10.0.0.1", &list("10.9.9.9, 192.0.2.1")),
            "192.0.2.1"
        );
        assert_eq!(
            address("10.0.0.1", &list("192.0.2.1, 10.0.0.2")),
            "192.0.2.1"
        );
        assert_eq!(
            address("10.0.0.1", &list("192.0.2.1:80, [fd00::1]:99")),
            "192.0.2.1"
        );
        assert_eq!(
            address("::ffff:10.0.0.1", &list("::ffff:192.0.2.1")),
            "192.0.2.1"
        );
        let lines = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        assert_eq!(address("10.0.0.1", &lines), "192.0.2.1");
    }

    #[test]
    fn what_is_no_address_ends_the_walk() {
        let list = |text| [("x-forwarded-for", text)];
        for text in ["", "unknown", "192.0.2.1, unknown", "1.2.3", "192.0.2.1, -"] {
            assert_eq!(address("10.0.0.1", &list(text)), "10.0.0.1", "{text:?}");
        }
        assert_eq!(
            address("10.0.0.1", &list("192.0.2.1, x, 10.0.0.2")),
            "10.0.0.2"
        );
    }

    #[test]
    fn scheme_and_host_come_from_the_proxy() {
        let lines = [
            ("host", "inner:8080"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "http, https"),
            ("x-forwarded-host", "push.example.com"),
        ];
        let origin = of("10.0.0.1", ForwardedBy::XForwarded, &lines);
        assert_eq!(origin.url().unwrap(), "https://push.example.com");
        let lines = [
            ("host", "inner:8080"),
            ("x-forwarded-host", "user@evil example"),
        ];
        let origin = of("10.0.0.1", ForwardedBy::XForwarded, &lines);
        assert_eq!(origin.url().unwrap(), "http://inner:8080");
    }

    #[test]
    fn the_standard_header_hop_by_hop() {
        let text = "for=6.6.6.6;host=evil.example, For=\"[2001:db8::7]:4711\";Proto=HTTPS;host=push.example.com, \
                    for=10.0.0.2;proto=http";
        let lines = [("forwarded", text), ("x-forwarded-for", "6.6.6.6")];
        let origin = of("10.0.0.1", ForwardedBy::Forwarded, &lines);
        assert_eq!(origin.address.to_string(), "2001:db8::7");
        assert_eq!(origin.url().unwrap(), "https://push.example.com");
        for hidden in ["for=_secret", "for=unknown;proto=http", "proto=http"] {
            let origin = of("10.0.0.1", ForwardedBy::Forwarded, &[("forwarded", hidden)]);
            assert_eq!(origin.address.to_string(), "10.0.0.1", "{hidden}");
        }
    }

    #[test]
    fn what_a_client_asks_for_does_not_say_where_it_is() {
        let told = [
            (r#"for=192.0.2.1;host="a,for=6.6.6.6""#, "192.0.2.1"),
            (r#"for=192.0.2.1;host="a;for=6.6.6.6""#, "192.0.2.1"),
            (r#"host="a\",for=6.6.6.6";for=192.0.2.1"#, "192.0.2.1"),
            (r#"for="6.6.6.6, x", for=192.0.2.1"#, "192.0.2.1"),
        ];
        for (text, client) in told {
            let origin = of("10.0.0.1", ForwardedBy::Forwarded, &[("forwarded", text)]);
            assert_eq!(origin.address.to_string(), client, "{text}");
        }
        // A client that leaves a quote open would decide what the proxy's words are.
        for open in [
            r#"for="6.6.6.6, for=192.0.2.1"#,
            r#"for=6.6.6.6;host="a\", for=192.0.2.1"#,
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::FORWARDED, open.parse().unwrap());
            let proxies = Proxies {
                trusted: vec!["10.0.0.0/8".parse().unwrap()],
                forwarded_by: ForwardedBy::Forwarded,
            };
            let of = |from: &str| {
                let address = SocketAddr::new(from.parse().unwrap(), 4711);
                let peer = Peer {
                    address,
                    tls: false,
                };
                Origin::of(peer, &headers, &http::Uri::from_static("/"), &proxies)
            };
            assert!(of("10.0.0.1").is_err(), "{open}");
            assert!(of("192.0.2.1").is_ok(), "{open}");
        }
    }
}
