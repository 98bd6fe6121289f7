//! The gates to all hosts, found by instance, gateway and host.
//!
//! FCM is one host to an instance, APNs two, since its sandbox fails apart from production; Web Push services are many, named by
//! whoever subscribes, so their gates are made when they are needed and forgotten when they are idle. Gates outlive the cached
//! instance: what is known of a host does not depend on a change of configuration.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::device::{ApnsEnvironment, GatewayToken, Platform, Recipient};
use domain::instance::InstanceId;

use crate::gate::{Gate, Pace, Places, Strangers};
use crate::membership::Sharers;

/// How many Web Push hosts of an instance are remembered at once; beyond that, idle ones are forgotten, and if those are few, all that
/// nobody sends to. What is remembered of dead ones keeps pages from waiting for them.
const HOSTS_MAX: usize = 4096;

/// How hard any host may be pressed.
#[derive(Debug, Clone, Copy)]
pub struct HostLimits {
    /// Deliveries in flight at once to one host, for one instance.
    pub in_flight_max: usize,
    /// Deliveries a minute that FCM takes of one project, from all nodes together; 0 is no limit. Firebase: 600,000 unless raised.
    pub fcm_per_minute_max: u32,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            in_flight_max: 1000,
            fcm_per_minute_max: 600_000,
        }
    }
}

/// The gates to the hosts of one gateway, for one instance.
#[derive(Debug, Clone)]
pub(crate) enum Hosts {
    One(Arc<Gate>),
    ByEnvironment {
        production: Arc<Gate>,
        sandbox: Arc<Gate>,
    },
    ByOrigin(Arc<Origins>),
}

#[derive(Debug)]
pub(crate) struct Origins {
    gates: Mutex<HashMap<Box<str>, Arc<Gate>>>,
    in_flight_max: usize,
    strangers: Arc<Strangers>,
}

/// All gates of a node.
#[derive(Debug)]
pub(crate) struct Gates {
    limits: HostLimits,
    sharers: Sharers,
    strangers: Places,
    hosts: Mutex<HashMap<(InstanceId, Platform), Hosts>>,
}

impl Gates {
    /// The gates of a node that shares what hosts grant.
    pub(crate) fn new(limits: HostLimits, sharers: Sharers) -> Self {
        Self {
            limits,
            sharers,
            strangers: Places::default(),
            hosts: Mutex::default(),
        }
    }

    /// The gates of one instance and gateway.
    pub(crate) fn hosts(&self, instance: InstanceId, platform: Platform) -> Hosts {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts
            .entry((instance, platform))
            .or_insert_with(|| self.new_hosts(platform))
            .clone()
    }

    fn new_hosts(&self, platform: Platform) -> Hosts {
        let in_flight_max = self.limits.in_flight_max;
        match platform {
            Platform::Web => {
                let gates = Mutex::default();
                Hosts::ByOrigin(Arc::new(Origins {
                    gates,
                    in_flight_max,
                    strangers: self.strangers.of_instance(),
                }))
            }
            Platform::Apns => Hosts::ByEnvironment {
                production: Gate::new(in_flight_max, Pace::default()),
                sandbox: Gate::new(in_flight_max, Pace::default()),
            },
            Platform::Fcm => {
                let per_minute = self.limits.fcm_per_minute_max;
                let interval = Duration::from_secs(60).checked_div(per_minute);
                let pace = Pace {
                    interval: interval.unwrap_or_default(),
                    sharers: self.sharers.clone(),
                };
                Hosts::One(Gate::new(in_flight_max, pace))
            }
        }
    }
}

impl Hosts {
    /// The gate to the host that this recipient's token leads to, with APNs to the one that is asked first. `is_known` is asked of
    /// a host that is not remembered.
    pub(crate) fn gate(&self, to: &Recipient, is_known: impl FnOnce() -> bool) -> Arc<Gate> {
        match (self, &to.token) {
            (Self::One(gate), _) => Arc::clone(gate),
            (
                Self::ByEnvironment {
                    production,
                    sandbox,
                },
                _,
            ) => Arc::clone(match to.environment {
                ApnsEnvironment::Production => production,
                ApnsEnvironment::Sandbox => sandbox,
            }),
            (Self::ByOrigin(origins), GatewayToken::Web(subscription)) => {
                origins.gate(subscription.origin(), is_known)
            }
            // A token of another platform goes nowhere, so no host is pressed.
            (Self::ByOrigin(origins), _) => origins.gate("", is_known),
        }
    }
}

impl Origins {
    fn gate(&self, origin: &str, is_known: impl FnOnce() -> bool) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(origin) {
            return Arc::clone(gate);
        }
        if gates.len() >= HOSTS_MAX {
            gates.retain(|_, gate| Arc::strong_count(gate) > 1 || !gate.is_idle());
            // Looking through all of them for each new one would cost more than forgetting them.
            if gates.len() > HOSTS_MAX / 2 {
                gates.retain(|_, gate| Arc::strong_count(gate) > 1);
            }
        }
        let strangers = Arc::clone(&self.strangers);
        let gate = Gate::to_stranger(self.in_flight_max, strangers, is_known());
        gates.insert(origin.into(), Arc::clone(&gate));
        gate
    }
}

#[cfg(test)]
mod tests {
    use domain::clock::Timestamp;
    use domain::device::DeviceOrdinal;
    use gateway::HostSign;

    use super::*;
    use crate::gate::Visit;

    #[tokio::test(start_paused = true)]
    async fn a_sandbox_that_fails_does_not_close_production() {
        let gates = Gates::new(HostLimits::default(), Sharers::default());
        let hosts = gates.hosts(InstanceId::random(), Platform::Apns);
        let gate = |environment| {
            let token = "ab".repeat(32);
            let recipient = Recipient {
                device: DeviceOrdinal(1),
                token: GatewayToken::parse(Platform::Apns, &token).unwrap(),
                bundle_id: None,
                environment,
                registered_at: Timestamp::from_secs(0),
                user: None,
            };
            hosts.gate(&recipient, || true)
        };
        let sandbox = gate(ApnsEnvironment::Sandbox);
        while let Ok(place) = sandbox.enter(Visit::First).await {
            place.leave(HostSign::Failed);
        }
        let production = gate(ApnsEnvironment::Production);
        assert!(production.enter(Visit::First).await.is_ok());
    }

    #[tokio::test]
    async fn dead_hosts_are_remembered_within_bounds_and_those_in_use_always() {
        let gates = Gates::new(HostLimits::default(), Sharers::default());
        let hosts = gates.hosts(InstanceId::random(), Platform::Web);
        let Hosts::ByOrigin(origins) = hosts else {
            panic!("Web Push services are many")
        };
        let used = origins.gate("https://used.example", || true);
        for number in 0..3 * HOSTS_MAX {
            let gate = origins.gate(&format!("https://{number}.example"), || false);
            // Silent, so that it is not idle.
            let place = gate.enter(Visit::Again).await.unwrap();
            place.leave(HostSign::Failed);
            assert!(!gate.is_idle());
            assert!(origins.gates.lock().unwrap().len() <= HOSTS_MAX);
        }
        let again = origins.gate("https://used.example", || false);
        assert!(Arc::ptr_eq(&used, &again));
    }
}
