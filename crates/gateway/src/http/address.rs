//! Which addresses are public.
//!
//! A table, not a judgement: IPv4 by deny-list of the special-purpose registry, IPv6 by allowing only the global unicast
//! space and denying the parts of it that embed or stand for something else. Knows nothing of URLs or names. Invariant: an
//! IPv6 form that carries an IPv4 address is never public, whatever the IPv4 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IANA IPv4 special-purpose address registry (RFC 6890), with multicast and what is reserved; and one address that looks public and
/// leads from every machine of a cloud to its host (Microsoft Learn: What is IP address 168.63.129.16?).
const SPECIAL_V4: [([u8; 4], u32); 19] = [
    ([0, 0, 0, 0], 8),        // "this network"
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // carrier-grade NAT
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // Azure's wire server
    ([169, 254, 0, 0], 16),   // link-local, and clouds' metadata services
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 31, 196, 0], 24),  // AS112
    ([192, 52, 193, 0], 24),  // AMT relays
    ([192, 88, 99, 0], 24),   // 6to4 relays
    ([192, 168, 0, 0], 16),   // private
    ([192, 175, 48, 0], 24),  // AS112
    ([198, 18, 0, 0], 15),    // benchmarking
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 4),      // multicast
    ([240, 0, 0, 0], 4),      // reserved, and broadcast
];

/// Parts of 2000::/3 that are not ordinary hosts.
const SPECIAL_V6: [([u16; 3], u32); 5] = [
    ([0x2001, 0, 0], 23),      // protocol assignments: Teredo, benchmarking, ORCHID
    ([0x2001, 0x0db8, 0], 32), // documentation
    ([0x2002, 0, 0], 16),      // 6to4: embeds an IPv4 address
    ([0x2620, 0x004f, 0x8000], 48), // AS112
    ([0x3fff, 0, 0], 20),      // documentation
];

/// Whether an address is that of an ordinary host in the public internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    !SPECIAL_V4.iter().any(|(network, prefix)| {
        let network = u32::from_be_bytes(*network);
        bits >> (32 - prefix) == network >> (32 - prefix)
    })
}

/// Everything outside of 2000::/3 is refused, known or not: `::`, `::1`, IPv4-mapped and -compatible, NAT64
/// (64:ff9b::/96, 64:ff9b:1::/48), unique local, link-local, multicast, and what is not assigned yet.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    if segments[0] & 0xe000 != 0x2000 {
        return false;
    }
    let bits = leading_48([segments[0], segments[1], segments[2]]);
    !SPECIAL_V6
        .iter()
        .any(|(network, prefix)| bits >> (48 - prefix) == leading_48(*network) >> (48 - prefix))
}

fn leading_48(segments: [u16; 3]) -> u64 {
    segments
        .iter()
        .fold(0, |bits, segment| bits << 16 | u64::from(*segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_not_public() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.31.196.1",
            "192.52.193.1",
            "192.175.48.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "::8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2620:4f:8000::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff::1",
            "3fff:fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "1fff::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn ordinary_addresses_are_public() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "17.188.143.34",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.169.0.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700:4700::1111",
            "2a00:1450:4001::5e",
            "2620:149:208:430b::7",
            "2620:4f:8001::1",
            "3000::1",
            "3ffe::1",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }
}
