//! The address guard, against a model of its own: whatever passes is https on port 443, and if it is an address, one that the
//! registries of special purposes do not name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gateway::Guard;

/// Checks a byte that says how to read the rest: a URL, a host, or the bytes of an address.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    let guard = Guard::default();
    match mode & 3 {
        0 => {
            let Ok(text) = std::str::from_utf8(rest) else {
                return;
            };
            if guard.check_url(text).is_ok() {
                passed(text);
            }
        }
        1 => {
            let Ok(text) = std::str::from_utf8(rest) else {
                return;
            };
            let url = format!("https://{text}/x");
            if guard.check_url(&url).is_ok() {
                passed(&url);
            }
        }
        2 => {
            if let Ok(bytes) = <[u8; 4]>::try_from(rest) {
                address(&guard, Ipv4Addr::from(bytes).into());
            }
        }
        _ => {
            if let Ok(bytes) = <[u8; 16]>::try_from(rest) {
                address(&guard, Ipv6Addr::from(bytes).into());
            }
        }
    }
}

fn passed(url: &str) {
    let trimmed = url.trim_start_matches(|c: char| c <= ' ');
    let https = trimmed
        .get(..6)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    // The URL standard also takes tabs and line ends within.
    let odd = url.contains(['\t', '\n', '\r']);
    assert!(https || odd, "{url}");
    // However it is written, a URL that passes is not the name of this machine.
    for word in ["localhost.", "127.0.0.1", "[::1]", "169.254.169.254"] {
        let host = trimmed
            .get(6..)
            .unwrap_or_default()
            .trim_start_matches(['/', '\\']);
        assert!(!host.starts_with(&format!("{word}/")), "{url}");
    }
}

fn address(guard: &Guard, address: IpAddr) {
    let shown = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let found = guard.check_url(&format!("https://{shown}/")).is_ok();
    assert_eq!(found, is_ordinary(address), "{shown}");
}

/// IANA's registries of special-purpose addresses, read as a list of prefixes; of IPv6 only the unicast space is assigned.
const SPECIAL: [&str; 23] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
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
