//! How much one caller may ask for: rates of publishes and registrations, connections and memory of one address.
//!
//! Owns the counting; what is counted and what a refusal looks like is said where it happens. Knows nothing of HTTP. Invariants:
//! whatever strangers do, what is remembered is bounded; and a wall clock that jumps makes nobody wait longer than one period.

mod connections;
mod rate;
mod room;

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use domain::clock::Timestamp;
use domain::instance::InstanceId;

pub(crate) use connections::AddressPlaces;
use rate::{Rate, Rates};
pub(crate) use room::{FREE_BYTES, Held, Room, Rooms};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// How often callers may ask; zero is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// Publishes of one instance in a second, and as many deletions of users; all servers on one database together.
    pub publishes_per_second_max: u32,
    /// Registrations from one address in a minute, at one server.
    pub registrations_per_address_per_minute_max: u32,
    /// Registrations of one instance in a minute; all servers on one database together.
    pub registrations_per_instance_per_minute_max: u32,
}

/// A caller asks too often; when it may ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooOften {
    pub(crate) again_after: Duration,
}

impl TooOften {
    /// Whole seconds, as `Retry-After` has them (RFC 9110 section 10.2.3); never none.
    pub(crate) fn retry_after_secs(self) -> u64 {
        (self.again_after.as_secs() + u64::from(self.again_after.subsec_nanos() > 0)).max(1)
    }
}

/// The rates of everybody. `nodes` is among how many servers on the database what an instance may do is divided.
#[derive(Debug)]
pub(crate) struct Admission {
    publishes: Rates<InstanceId>,
    deletions: Rates<InstanceId>,
    registrations_by_address: Rates<IpAddr>,
    registrations_by_instance: Rates<InstanceId>,
}

impl Admission {
    pub(crate) fn new(limits: RateLimits) -> Self {
        let publishes = Rate::new(limits.publishes_per_second_max, SECOND);
        let by_address = Rate::new(limits.registrations_per_address_per_minute_max, MINUTE);
        let by_instance = Rate::new(limits.registrations_per_instance_per_minute_max, MINUTE);
        Self {
            publishes: Rates::new(publishes),
            deletions: Rates::new(publishes),
            registrations_by_address: Rates::new(by_address),
            registrations_by_instance: Rates::new(by_instance),
        }
    }

    /// Admits a publish of an instance that has proved itself.
    pub(crate) fn publish(
        &self,
        instance: InstanceId,
        now: Timestamp,
        nodes: u32,
    ) -> Result<(), TooOften> {
        self.publishes.admit(instance, now, nodes)
    }

    /// Admits the deletion of a user, by an instance that has proved itself.
    pub(crate) fn deletion(
        &self,
        instance: InstanceId,
        now: Timestamp,
        nodes: u32,
    ) -> Result<(), TooOften> {
        self.deletions.admit(instance, now, nodes)
    }

    /// Admits a registration at an instance that exists. Callers on this machine are not told apart by their address: they
    /// stand for others, or are the operator's own.
    pub(crate) fn registration(
        &self,
        from: Option<IpAddr>,
        instance: InstanceId,
        now: Timestamp,
        nodes: u32,
    ) -> Result<(), TooOften> {
        if let Some(from) = from.and_then(caller) {
            self.registrations_by_address.admit(from, now, 1)?;
        }
        self.registrations_by_instance.admit(instance, now, nodes)
    }
}

/// What counts as one caller: an IPv4 address, or the network that one customer has of IPv6 (RFC 6177: a /64 at least). `None`
/// for this machine itself.
fn caller(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            Some(Ipv6Addr::from_bits(network).into())
        }
        address @ IpAddr::V4(_) => Some(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_told_apart() {
        let of = |text: &str| caller(text.parse().unwrap()).map(|address| address.to_string());
        assert_eq!(of("127.0.0.1"), None);
        assert_eq!(of("::1"), None);
        assert_eq!(of("::ffff:127.0.0.1"), None);
        assert_eq!(of("198.51.100.7").as_deref(), Some("198.51.100.7"));
        assert_eq!(of("::ffff:198.51.100.7").as_deref(), Some("198.51.100.7"));
        assert_eq!(of("2001:db8:1:2:3::4").as_deref(), Some("2001:db8:1:2::"));
    }

    #[test]
    fn each_of_several_servers_grants_its_share() {
        let limits = RateLimits {
            publishes_per_second_max: 100,
            registrations_per_address_per_minute_max: 0,
            registrations_per_instance_per_minute_max: 0,
        };
        let (instance, now) = (InstanceId::random(), Timestamp::from_secs(1000));
        for (nodes, granted) in [(1, 100), (4, 25), (1000, 1)] {
            let admission = Admission::new(limits);
            let admitted = (0..200)
                .filter(|_| admission.publish(instance, now, nodes).is_ok())
                .count();
            assert_eq!(admitted, granted, "{nodes}");
        }
    }
}
