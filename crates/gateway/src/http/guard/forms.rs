//! Every form of address that has led a server into its own network, by name: those of the IANA registries, and those by which the
//! guards of others were passed (CVE-2021-21273, CVE-2021-21392, CVE-2026-22245, CVE-2026-27477, CVE-2026-46348).

use std::collections::BTreeSet;

use super::{Guard, Refused};

/// What a form is called, a URL's authority in it, and what becomes of that.
type Row = (&'static str, &'static str, Result<(), Refused>);

const fn not_public(form: &'static str, host: &'static str) -> Row {
    (form, host, Err(Refused::Address))
}

const fn wrong(form: &'static str, host: &'static str, why: Refused) -> Row {
    (form, host, Err(why))
}

const fn fine(form: &'static str, host: &'static str) -> Row {
    (form, host, Ok(()))
}

/// Addresses in their usual spelling, by the block they are of.
const BLOCKS: [Row; 59] = [
    not_public("this network", "0.0.0.0"),
    not_public("this network, its last", "0.255.255.255"),
    not_public("private, RFC 1918", "10.0.0.1"),
    not_public("private, RFC 1918", "10.255.255.255"),
    not_public("private, RFC 1918", "172.16.0.1"),
    not_public("private, RFC 1918", "172.31.255.255"),
    not_public("private, RFC 1918", "192.168.0.1"),
    not_public("carrier-grade NAT, its first", "100.64.0.0"),
    not_public("carrier-grade NAT, its last", "100.127.255.255"),
    fine("just before carrier-grade NAT", "100.63.255.255"),
    fine("just behind carrier-grade NAT", "100.128.0.0"),
    not_public("loopback", "127.0.0.1"),
    not_public("loopback, its last", "127.255.255.255"),
    not_public("link-local: metadata of clouds", "169.254.169.254"),
    not_public("Azure's wire server", "168.63.129.16"),
    fine("just before Azure's wire server", "168.63.129.15"),
    fine("just behind Azure's wire server", "168.63.129.17"),
    not_public("protocol assignments", "192.0.0.1"),
    not_public("protocol assignments: DS-Lite", "192.0.0.2"),
    not_public("documentation 1", "192.0.2.1"),
    not_public("documentation 2", "198.51.100.1"),
    not_public("documentation 3", "203.0.113.1"),
    not_public("6to4 relays", "192.88.99.1"),
    not_public("benchmarking, its first", "198.18.0.0"),
    not_public("benchmarking, its last", "198.19.255.255"),
    fine("just behind benchmarking", "198.20.0.0"),
    not_public("multicast: this network", "224.0.0.1"),
    not_public("multicast: its last", "239.255.255.255"),
    not_public("reserved", "240.0.0.1"),
    not_public("broadcast", "255.255.255.255"),
    fine("an ordinary address", "8.8.8.8"),
    not_public("unspecified, IPv6", "[::]"),
    not_public("unspecified, written out", "[0:0:0:0:0:0:0:0]"),
    not_public("loopback, IPv6", "[::1]"),
    not_public(
        "loopback, written out",
        "[0000:0000:0000:0000:0000:0000:0000:0001]",
    ),
    not_public("IPv4-mapped", "[::ffff:127.0.0.1]"),
    not_public("IPv4-mapped, hexadecimal", "[::ffff:7f00:1]"),
    not_public("IPv4-mapped, of a public one", "[::ffff:8.8.8.8]"),
    not_public("IPv4-compatible", "[::127.0.0.1]"),
    not_public("IPv4-compatible, hexadecimal", "[::7f00:1]"),
    not_public("IPv4-translated, RFC 2765", "[::ffff:0:127.0.0.1]"),
    not_public("NAT64", "[64:ff9b::127.0.0.1]"),
    not_public("NAT64, of metadata", "[64:ff9b::a9fe:a9fe]"),
    not_public("NAT64, local use", "[64:ff9b:1::a00:1]"),
    not_public("6to4", "[2002:7f00:1::]"),
    not_public("6to4, of a private one", "[2002:a00:1::1]"),
    not_public("Teredo", "[2001:0:7f00:1::]"),
    not_public(
        "Teredo, with its client",
        "[2001::4136:e378:8000:63bf:80ff:fffe]",
    ),
    not_public("benchmarking, IPv6", "[2001:2::1]"),
    not_public("ORCHID", "[2001:20::1]"),
    not_public("documentation, IPv6", "[2001:db8::1]"),
    not_public("documentation, IPv6, the newer", "[3fff::1]"),
    not_public("discard", "[100::1]"),
    not_public("unique local", "[fd00::1]"),
    not_public("link-local, IPv6", "[fe80::1]"),
    not_public("site-local", "[fec0::1]"),
    not_public("multicast, IPv6", "[ff02::1]"),
    not_public("not assigned", "[4000::1]"),
    fine("an ordinary address, IPv6", "[2606:4700:4700::1111]"),
];

/// Other ways to write them.
const SPELLINGS: [Row; 34] = [
    not_public("two parts", "127.1"),
    not_public("three parts", "127.0.1"),
    not_public("two parts, private", "10.1"),
    not_public("three parts with a wide last one", "192.168.257"),
    not_public("one number", "2130706433"),
    not_public("one number, metadata", "2852039166"),
    not_public("one number: nothing", "0"),
    not_public("hexadecimal", "0x7f000001"),
    not_public("hexadecimal, metadata", "0xA9FEA9FE"),
    not_public("hexadecimal, in parts", "0x7f.0x0.0x0.0x1"),
    not_public("hexadecimal: nothing", "0x0"),
    not_public("hexadecimal without digits", "0x.0x.0x.0x"),
    not_public("octal", "017700000001"),
    not_public("octal, in parts", "0177.0.0.01"),
    not_public("octal with many noughts", "00000177.0.0.1"),
    not_public("all at once", "0x7f.0.01"),
    not_public("an address with a dot behind it", "127.0.0.1."),
    not_public("percent-encoded", "%31%32%37.0.0.1"),
    not_public("percent-encoded dots", "127%2e0%2e0%2e1"),
    not_public("IDN: circled digits", "①②⑦.⓪.⓪.①"),
    not_public("IDN: full-width digits", "１２７.0.0.1"),
    not_public("IDN: ideographic full stops", "127。0。0。1"),
    not_public("IDN: full-width full stops", "127．0．0．1"),
    not_public("IDN: a soft hyphen that vanishes", "127.0.0.\u{ad}1"),
    not_public("IDN: a joiner that vanishes", "127.0.\u{200b}0.1"),
    not_public("IPv6 in capitals", "[::FFFF:7F00:1]"),
    not_public("IPv6 with noughts before", "[::ffff:007f:0001]"),
    fine("IDN: a name in Unicode", "pu\u{df}h.example"),
    fine("IDN: a name in Punycode", "xn--ph-wia5j.example"),
    fine("IDN: a name with full-width letters", "ｐush.example"),
    wrong("a part too many", "1.2.3.4.5", Refused::NotUrl),
    wrong("a part too large", "256.256.256.256", Refused::NotUrl),
    wrong("a number too large", "4294967296", Refused::NotUrl),
    wrong("a last label of digits", "push.example.1", Refused::NotUrl),
];

/// What stands around a host.
const SURROUNDINGS: [Row; 22] = [
    wrong("a zone id", "[fe80::1%eth0]", Refused::NotUrl),
    wrong("a zone id, encoded", "[fe80::1%25eth0]", Refused::NotUrl),
    wrong("a zone id of loopback", "[::1%251]", Refused::NotUrl),
    wrong("user info", "user@push.example", Refused::UserInfo),
    wrong(
        "user info, empty but for a password",
        ":pass@push.example",
        Refused::UserInfo,
    ),
    wrong(
        "user info like a host",
        "push.example@127.0.0.1",
        Refused::UserInfo,
    ),
    wrong(
        "user info like a host and port",
        "push.example:443@127.0.0.1",
        Refused::UserInfo,
    ),
    wrong(
        "user info, percent-encoded",
        "push.example%40x@127.0.0.1",
        Refused::UserInfo,
    ),
    wrong(
        "user info before a public address",
        "a@8.8.8.8",
        Refused::UserInfo,
    ),
    not_public("a backslash ends the host", "127.0.0.1\\@push.example"),
    not_public("a question mark ends the host", "127.0.0.1?@push.example"),
    not_public("a number sign ends the host", "127.0.0.1#@push.example"),
    wrong("a trailing dot", "push.example.", Refused::HostForm),
    wrong("a trailing dot, local", "localhost.", Refused::HostForm),
    wrong("a port of another service", "8.8.8.8:22", Refused::Port),
    wrong("a port of plain HTTP", "[2606:4700::1]:80", Refused::Port),
    wrong("a port behind a name", "push.example:8443", Refused::Port),
    wrong("a port of nought", "push.example:0", Refused::Port),
    wrong("a port too large", "push.example:65979", Refused::NotUrl),
    fine("the port said", "push.example:443"),
    fine("the port said with noughts", "push.example:00443"),
    fine("the port begun and not said", "push.example:"),
];

#[test]
fn every_form_of_address_is_judged_as_it_should_be() {
    let guard = Guard::default();
    for (form, host, expected) in [&BLOCKS[..], &SPELLINGS, &SURROUNDINGS].concat() {
        let url = format!("https://{host}/x");
        assert_eq!(guard.check_url(&url), expected, "{form}: {url}");
        assert_eq!(guard.check_webhook(&url), expected, "{form}: {url}");
        // Without TLS nothing is reached that is no exception, and there are none.
        let plain = guard.check_webhook(&format!("http://{host}/x"));
        assert!(plain.is_err(), "{form}: http://{host}");
        assert!(
            guard.check_url(&format!("http://{host}/x")).is_err(),
            "{form}"
        );
    }
}

/// What was once refused by one part of a guard and let through by another.
#[test]
fn an_exception_for_one_form_is_none_for_another() {
    let guard = Guard::new(vec!["10.0.0.0/8".parse().unwrap()]);
    for (form, host, expected) in [
        fine("itself", "10.0.0.1:8443"),
        fine(
            "IPv4-mapped, which is connected to as itself",
            "[::ffff:10.0.0.1]",
        ),
        not_public("IPv4-compatible", "[::10.0.0.1]"),
        not_public("6to4", "[2002:a00:1::]"),
        not_public("NAT64", "[64:ff9b::a00:1]"),
        not_public("Teredo", "[2001:0:a00:1::]"),
        not_public("another block", "127.0.0.1"),
    ] {
        let url = format!("https://{host}/");
        assert_eq!(guard.check_url(&url), expected, "{form}");
    }
}

/// Addresses that the table has for public, and that lead inside all the same.
#[test]
fn what_the_operator_denies_is_refused_whatever_else_is_allowed() {
    let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let guard = Guard::new(networks(&["10.0.0.0/8", "64:ff9b::/96"]))
        .excepting_for_webhooks(networks(&["127.0.0.0/8"]))
        .denying(networks(&[
            "2001:db7:1::/48",
            "203.0.114.0/24",
            "10.9.0.0/16",
            "127.0.0.1/32",
            "2001:4860:64::/96",
            "64:ff9b::a00:0/104",
        ]));
    for (form, host, expected) in [
        not_public("a server inside with a global address", "[2001:db7:1::5]"),
        fine("its neighbour", "[2001:db7:2::5]"),
        not_public("a block of one's own, IPv4", "203.0.114.7"),
        not_public(
            "NAT64 with a prefix of the network's",
            "[2001:4860:64::a00:1]",
        ),
        not_public("a part of what is allowed", "10.9.0.1"),
        not_public("the same, IPv4-mapped", "[::ffff:10.9.0.1]"),
        fine("the rest of what is allowed", "10.8.0.1:8443"),
        not_public("NAT64 of a private address", "[64:ff9b::10.1.2.3]"),
        fine("NAT64 of a public address", "[64:ff9b::8.8.8.8]"),
        not_public("a part of what is allowed for webhooks", "127.0.0.1"),
    ] {
        let url = format!("https://{host}/");
        assert_eq!(guard.check_url(&url), expected, "{form}");
        assert_eq!(guard.check_webhook(&url), expected, "{form}");
    }
    for host in ["10.9.0.1", "127.0.0.1", "[::ffff:127.0.0.1]"] {
        let plain = guard.check_webhook(&format!("http://{host}/"));
        assert_eq!(plain, Err(Refused::NotHttps), "{host}");
    }
    assert_eq!(guard.check_webhook("http://127.0.0.2/"), Ok(()));
}

#[test]
fn an_exception_for_webhooks_is_none_for_push_endpoints() {
    let guard = Guard::new(vec!["10.1.0.0/16".parse().unwrap()])
        .excepting_for_webhooks(vec!["10.2.0.0/16".parse().unwrap()]);
    for url in ["https://10.2.0.1/", "https://10.2.0.1:8443/"] {
        assert_eq!(guard.check_url(url), Err(Refused::Address), "{url}");
        assert_eq!(guard.check_webhook(url), Ok(()), "{url}");
    }
    assert_eq!(guard.check_webhook("http://10.2.0.1/"), Ok(()));
    for url in ["https://10.1.0.1/", "https://10.1.0.1:8443/"] {
        assert_eq!(guard.check_url(url), Ok(()), "{url}");
        assert_eq!(guard.check_webhook(url), Ok(()), "{url}");
    }
    let other = "https://10.3.0.1/";
    assert_eq!(guard.check_webhook(other), Err(Refused::Address));
    // A name's port is nothing to except for whoever has no exceptions.
    let webhooks_alone =
        Guard::default().excepting_for_webhooks(vec!["10.2.0.0/16".parse().unwrap()]);
    let named = "https://push.example:8443/";
    assert_eq!(webhooks_alone.check_url(named), Err(Refused::Port));
    assert_eq!(webhooks_alone.check_webhook(named), Ok(()));
}

#[test]
fn no_form_is_listed_twice() {
    let rows = [&BLOCKS[..], &SPELLINGS, &SURROUNDINGS].concat();
    let hosts: BTreeSet<&str> = rows.iter().map(|(_, host, _)| *host).collect();
    assert_eq!(hosts.len(), rows.len());
}

#[test]
fn other_schemes_are_refused() {
    let guard = Guard::default();
    for (url, why) in [
        ("", Refused::NotUrl),
        ("push.example", Refused::NotUrl),
        ("https://", Refused::NotUrl),
        ("https://a b/", Refused::NotUrl),
        ("http://push.example/", Refused::NotHttps),
        ("ftp://push.example/", Refused::NotHttps),
        ("gopher://127.0.0.1:6379/_x", Refused::NotHttps),
        ("file:///etc/passwd", Refused::NotHttps),
        ("javascript:alert(1)", Refused::NotHttps),
        ("data:text/plain,x", Refused::NotHttps),
        ("blob:https://push.example/x", Refused::NotHttps),
    ] {
        assert_eq!(guard.check_url(url), Err(why), "{url}");
        assert!(guard.check_webhook(url).is_err(), "{url}");
    }
    // A scheme in capitals, and what browsers strip.
    for url in [
        "HTTPS://127.0.0.1/",
        " https://127.0.0.1/",
        "ht\ttps://127.0.0.1/",
        "https:127.0.0.1",
        "https:\\\\127.0.0.1/",
    ] {
        assert_eq!(guard.check_url(url), Err(Refused::Address), "{url:?}");
    }
}
