//! The gateways of a run: they take, refuse, throttle, hang, and lose their answers.

use std::sync::Arc;
use std::time::Duration;

use domain::device::Platform;
use domain::outcome::Outcome;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use gateway::{Attempt, Delivery, Script};

use crate::node::Pulse;
use crate::world::{Nature, World};

/// The gateways as one node reaches them.
#[derive(Debug)]
pub(crate) struct FaultyGateways {
    pub(crate) world: Arc<World>,
    pub(crate) pulse: Arc<Pulse>,
}

/// How an attempt goes.
enum Turn {
    Answer(Outcome),
    /// No answer, and nothing was taken.
    Hang,
    /// No answer, though it was taken.
    AnswerLost,
}

impl Script for FaultyGateways {
    fn send<'a>(
        &'a self,
        _platform: Platform,
        delivery: &'a Delivery<'a>,
    ) -> BoxFuture<'a, Attempt> {
        async move { self.attempt(delivery).await.into() }.boxed()
    }

    fn in_flight_limit(&self, _platform: Platform) -> usize {
        self.world.roll(300) + 1
    }
}

impl FaultyGateways {
    async fn attempt(&self, delivery: &Delivery<'_>) -> Outcome {
        self.pulse.beat().await;
        let world = &self.world;
        let device = world.device_of(delivery.recipient);
        let (there, back) = world.gateway_latency();
        self.pulse.wait(there).await;
        world.ledger.attempted(delivery.publish);
        // Here the request is with the gateway, whatever becomes of who sent it.
        let turn = self.turn(device);
        let timeout = || {
            let timeout = world.plot.gateway.timeout;
            usize::try_from(timeout.as_millis()).unwrap()
        };
        let publish = delivery.publish;
        match turn {
            Turn::Answer(outcome) => {
                if !matches!(
                    outcome,
                    Outcome::Retry { .. } | Outcome::CredentialBroken { .. }
                ) {
                    let accepted = outcome == Outcome::Accepted;
                    world.ledger.ended(publish, device, accepted);
                }
                self.pulse.wait(back).await;
                outcome
            }
            Turn::Hang => {
                self.pulse.wait(timeout()).await;
                Outcome::retry("timeout")
            }
            Turn::AnswerLost => {
                world.ledger.ended(publish, device, true);
                world.ledger.answer_lost(publish);
                self.pulse.wait(timeout()).await;
                Outcome::retry("timeout")
            }
        }
    }

    fn turn(&self, device: usize) -> Turn {
        let world = &self.world;
        let nature = world.devices[device].nature;
        if world.is_over() {
            return Turn::Answer(final_word(nature));
        }
        let faults = &world.plot.gateway;
        let mut left = world.roll(1000);
        let mut falls = |share: usize| {
            let falls = left < share;
            left = left.saturating_sub(share);
            falls
        };
        if falls(faults.retry) {
            Turn::Answer(Outcome::retry("unavailable"))
        } else if falls(faults.retry_after) {
            let after = Some(Duration::from_secs(1 + world.roll(20) as u64));
            let reason = "too_many_requests".into();
            Turn::Answer(Outcome::Retry { reason, after })
        } else if falls(faults.hang) {
            Turn::Hang
        } else if falls(faults.answer_lost) && nature == Nature::Healthy {
            Turn::AnswerLost
        } else if falls(faults.credential) {
            Turn::Answer(Outcome::credential_broken("forbidden"))
        } else {
            Turn::Answer(final_word(nature))
        }
    }
}

fn final_word(nature: Nature) -> Outcome {
    match nature {
        Nature::Healthy => Outcome::Accepted,
        Nature::Dead => Outcome::token_dead("unregistered"),
        Nature::Refused => Outcome::rejected("payload_too_large"),
    }
}
