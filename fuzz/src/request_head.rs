//! Heads of requests: whom a request comes from, and what it carries in headers and in its query. Whoever is no proxy of ours cannot
//! say who it is; keys, cookies and parameters arrive as another reader reads them.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use server::config::{ForwardedBy, Proxies};
use server::fuzzing::{Met, Seen, bearer, limit, origin, parameter, session_cookie};

use crate::verdict::Verdict;

const STRANGER: &str = "203.0.113.9:4711";
const PROXY: &str = "10.0.0.1:4711";
const TRUSTED: &str = "10.0.0.0/8";
const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: usize = 100;

/// Checks a byte that says who is met and which headers proxies write, a line with a URL, and lines of headers.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) -> Verdict {
    let Some((mode, rest)) = data.split_first() else {
        return Verdict::UNREAD;
    };
    let mut lines = rest.split(|byte| *byte == b'\n');
    let Ok(uri) = Uri::try_from(lines.next().unwrap_or_default()) else {
        return Verdict::UNREAD;
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        let at = line.iter().position(|byte| *byte == b':');
        let Some((name, value)) = at.map(|at| (&line[..at], &line[at + 1..])) else {
            continue;
        };
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value.trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let Some(seen) = seen(*mode, &headers, &uri) else {
        return Verdict::REFUSED;
    };
    let key = key(&headers);
    let session = session(&headers, seen.https);
    let asked = query(uri.query().unwrap_or_default());
    Verdict::of(format!(
        "{} {}{}{}{asked}",
        seen.address,
        seen.url.as_deref().unwrap_or("-"),
        if key { " key" } else { "" },
        if session { " session" } else { "" },
    ))
}

/// `None` where a proxy says something that cannot be read.
fn seen(mode: u8, headers: &HeaderMap, uri: &Uri) -> Option<Seen> {
    let by_proxy = mode & 1 == 1;
    let tls = mode & 4 == 4;
    let (by, other) = if mode & 2 == 2 {
        (ForwardedBy::Forwarded, "x-forwarded-")
    } else {
        (ForwardedBy::XForwarded, "forwarded")
    };
    let proxies = Proxies {
        trusted: vec![TRUSTED.parse().expect("a network")],
        forwarded_by: by,
    };
    let met: SocketAddr = if by_proxy { PROXY } else { STRANGER }
        .parse()
        .expect("an address");
    let met = Met { address: met, tls };
    // The headers of the other kind change nothing, and of a stranger neither do these.
    let mut less = HeaderMap::new();
    for (name, value) in headers {
        let is_forwarding = name == "forwarded" || name.as_str().starts_with("x-forwarded-");
        if !is_forwarding || by_proxy && !name.as_str().starts_with(other) {
            less.append(name, value.clone());
        }
    }
    let seen = origin(met, headers, uri, &proxies);
    assert_eq!(origin(met, &less, uri, &proxies), seen);
    assert!(seen.is_ok() || by_proxy, "a stranger cannot break it");
    let seen = seen.ok()?;
    if let Some(url) = &seen.url {
        let scheme = if seen.https { "https://" } else { "http://" };
        let host = url.strip_prefix(scheme).expect("its scheme");
        let odd = |c: char| matches!(c, '/' | '?' | '#' | '@' | '\\') || c.is_control();
        assert!(!host.contains(odd) && !host.contains(' '), "{url}");
    }
    if !by_proxy {
        assert_eq!((seen.address, seen.https), (met.address.ip(), tls));
    } else if seen.address != met.address.ip() {
        written_by_a_proxy(seen.address, &less);
    }
    if let IpAddr::V6(address) = seen.address {
        assert_eq!(address.to_ipv4_mapped(), None, "IPv4 is never wrapped");
    }
    Some(seen)
}

/// An address that was not met stands in one of the headers.
fn written_by_a_proxy(address: IpAddr, headers: &HeaderMap) {
    let pieces = |line: &str| -> Vec<String> {
        let apart = |c: char| matches!(c, ',' | ';' | '=' | '"' | ' ' | '\t');
        line.split(apart).map(str::to_owned).collect()
    };
    let bare = |piece: &str| -> Option<IpAddr> {
        let with_port = piece.parse::<SocketAddr>().map(|address| address.ip());
        let address = with_port.or_else(|_| piece.trim_matches(['[', ']']).parse());
        Some(address.ok()?.to_canonical())
    };
    let stands = headers
        .values()
        .filter_map(|value| value.to_str().ok())
        .flat_map(pieces)
        .any(|piece| bare(&piece) == Some(address));
    assert!(stands, "{address}");
}

/// A key is what stands behind the one word, and is visible ASCII as all that is compared with it. Whether there is one.
fn key(headers: &HeaderMap) -> bool {
    let Some(key) = bearer(headers) else {
        return false;
    };
    let whole = headers.get("authorization").expect("it has the header");
    let whole = whole.to_str().expect("visible ASCII");
    assert!(
        whole
            .get(..7)
            .is_some_and(|word| word.eq_ignore_ascii_case("bearer "))
    );
    assert_eq!(whole[7..].trim_matches(' '), key);
    assert!(!key.is_empty());
    true
}

/// Over https only a cookie that no neighbouring host can have planted is a session. Whether there is one.
fn session(headers: &HeaderMap, https: bool) -> bool {
    let name = if https {
        "__Host-heliostat_session="
    } else {
        "heliostat_session="
    };
    let first = headers
        .get_all("cookie")
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name));
    let found = session_cookie(headers, https);
    assert_eq!(found, first.filter(|value| !value.is_empty()));
    found.is_some()
}

/// The parameters of lists. What was found of them.
fn query(query: &str) -> String {
    let mut found = String::new();
    for name in ["limit", "cursor"] {
        let given = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (decode(name), decode(value)))
            .find(|(known, value)| known == name && !value.is_empty());
        let value = parameter(query, name);
        assert_eq!(value, given.map(|(_, value)| value), "{query}");
        if let Some(value) = &value {
            found.push_str(&format!(" {name} {}", value.escape_debug()));
        }
    }
    let asked = parameter(query, "limit");
    match limit(query, LIMIT_DEFAULT, LIMIT_MAX) {
        Ok(limit) => match asked {
            None => assert_eq!(limit, LIMIT_DEFAULT),
            Some(text) => {
                assert!((1..=LIMIT_MAX).contains(&limit));
                assert_eq!(text.parse(), Ok(limit));
            }
        },
        Err(why) => {
            found.push_str(" refused");
            assert!(!why.contains(char::is_control) && why.len() < 100, "{why}");
        }
    }
    found
}

/// The URL standard's `application/x-www-form-urlencoded`: a plus is a space, and what is no UTF-8 is replaced.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes
            .get(at + 1..at + 3)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match (bytes[at], digits) {
            (b'%', Some(digits)) => {
                decoded.push(u8::from_str_radix(digits, 16).expect("two digits"));
                at += 2;
            }
            (b'+', _) => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
