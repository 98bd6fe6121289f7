//! The address guard, against a model of its own: whatever passes is https on port 443, and if it is an address, one that the
//! registries of special purposes do not name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gateway::Guard;
use url::{Host, Url};

use crate::verdict::Verdict;

/// Checks a byte that says how to read the rest: a URL, a host, or the bytes of an address.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) -> Verdict {
    let Some((mode, rest)) = data.split_first() else {
        return Verdict::UNREAD;
    };
    let guard = Guard::default();
    match (mode & 3, std::str::from_utf8(rest)) {
        (0, Ok(text)) => url(&guard, text),
        (1, Ok(text)) => host(&guard, text),
        (2, _) => match <[u8; 4]>::try_from(rest) {
            Ok(bytes) => address(&guard, Ipv4Addr::from(bytes).into()),
            Err(_) => Verdict::UNREAD,
        },
        (3, _) => match <[u8; 16]>::try_from(rest) {
            Ok(bytes) => address(&guard, Ipv6Addr::from(bytes).into()),
            Err(_) => Verdict::UNREAD,
        },
        _ => Verdict::UNREAD,
    }
}

fn url(guard: &Guard, text: &str) -> Verdict {
    let found = guard.check_url(text);
    assert_eq!(
        guard.check_webhook(text).is_ok(),
        found.is_ok(),
        "without exceptions a webhook may go where a push may: {text}"
    );
    match found {
        Ok(()) => {
            passed(text);
            Verdict::TAKEN
        }
        Err(why) => Verdict::of(format!("refused: {why}")),
    }
}

/// What a resolver would take for an address is judged as that address, however it is written.
fn host(guard: &Guard, text: &str) -> Verdict {
    let whole = format!("https://{text}/x");
    let verdict = url(guard, &whole);
    let v6 = || -> Option<Ipv6Addr> { text.strip_prefix('[')?.strip_suffix(']')?.parse().ok() };
    let meant = inet_aton(text)
        .map(IpAddr::from)
        .or_else(|| v6().map(IpAddr::from));
    if let Some(meant) = meant {
        assert_eq!(
            verdict == Verdict::TAKEN,
            is_ordinary(meant),
            "{whole} is {meant}"
        );
    }
    verdict
}

/// What holds of a URL that passes, as another reader of it finds.
fn passed(text: &str) {
    let url = Url::parse(text).expect("what passes is a URL");
    assert_eq!(url.scheme(), "https", "{text}");
    assert_eq!(url.port_or_known_default(), Some(443), "{text}");
    assert!(
        url.username().is_empty() && url.password().is_none(),
        "{text}"
    );
    match url.host().expect("it has a host") {
        Host::Ipv4(address) => assert!(is_ordinary(address.into()), "{text}"),
        Host::Ipv6(address) => assert!(is_ordinary(address.into()), "{text}"),
        Host::Domain(name) => {
            assert!(!name.is_empty() && !name.ends_with('.'), "{text}");
            let name = name.trim_matches(['[', ']']);
            let is_address = inet_aton(name).is_some() || name.parse::<IpAddr>().is_ok();
            assert!(!is_address, "a resolver takes {name} for an address");
        }
    }
}

fn address(guard: &Guard, address: IpAddr) -> Verdict {
    let shown = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let verdict = url(guard, &format!("https://{shown}/"));
    assert_eq!(verdict == Verdict::TAKEN, is_ordinary(address), "{shown}");
    verdict
}

/// An IPv4 address as `inet_aton` of POSIX reads it: one to four numbers, each decimal, octal (`0…`) or hexadecimal (`0x…`), the
/// last of which fills all bytes that are left.
fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, bytes) = parts.split_last()?;
    if bytes.len() > 3 || bytes.iter().any(|byte| *byte > 255) {
        return None;
    }
    let room = 8 * (4 - bytes.len());
    if u64::from(*last) >= 1 << room {
        return None;
    }
    let mut bits = *last;
    for (at, byte) in bytes.iter().enumerate() {
        bits |= byte << (24 - 8 * at);
    }
    Some(Ipv4Addr::from_bits(bits))
}

fn number(text: &str) -> Option<u32> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, base) = match hex {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    // The library would take a sign, too.
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, base).ok()
}

/// IANA's registries of special-purpose addresses, read as a list of prefixes; of IPv6 only the unicast space is assigned. And the
/// address by which machines in Azure reach their host.
const SPECIAL: [&str; 24] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
];

fn is_ordinary(address: IpAddr) -> bool {
    if let IpAddr::V6(address) = address
        && !(0x2000..=0x3fff).contains(&address.segments()[0])
    {
        return false;
    }
    !SPECIAL.iter().any(|prefix| is_within(address, prefix))
}

fn is_within(address: IpAddr, prefix: &str) -> bool {
    let (network, length) = prefix.split_once('/').expect("a prefix");
    let length: u32 = length.parse().expect("a length");
    match (address, network.parse().expect("an address")) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (address.to_bits() ^ network.to_bits()).leading_zeros() >= length
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            (address.to_bits() ^ network.to_bits()).leading_zeros() >= length
        }
        _ => false,
    }
}
