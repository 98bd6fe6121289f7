//! One delivery outside of any publish: to see whether a device is reached, or whether a gateway takes a credential.
//!
//! What comes of it is told and changes nothing, except for what is known of the credential: no device is removed, nothing is
//! counted or tried again.

use domain::clock::{Clock, Timestamp};
use domain::device::{ApnsEnvironment, BundleId, DeviceOrdinal, GatewayToken, Platform, Recipient};
use domain::outcome::Outcome;
use domain::payload::{Origin, Payloads};
use domain::publish::PublishId;
use gateway::Delivery;

use crate::instances::{Instance, Instances};

/// Sends a payload to one device, once. `None` if there is nothing for the device's platform, or no way to its gateway.
pub async fn send(
    instances: &Instances,
    instance: &Instance,
    recipient: &Recipient,
    payloads: &Payloads,
    clock: &dyn Clock,
) -> Option<Outcome> {
    let platform = recipient.token.platform();
    let (publish, now) = (PublishId::random(), clock.now());
    let origin = Origin {
        instance: instance.id(),
        publish,
        send_at: now,
        expires_at: None,
        now,
    };
    let payload = payloads.render(platform, &origin)?;
    let way = instance.way(platform)?;
    let delivery = Delivery {
        publish,
        recipient,
        payload: &payload,
    };
    let attempt = way.channel.send(&delivery).await;
    match &attempt.outcome {
        Outcome::CredentialBroken { reason } => {
            instances.mark(instance, platform, Some(reason)).await;
        }
        Outcome::Accepted | Outcome::TokenDead { .. } => {
            instances.mark(instance, platform, None).await;
        }
        Outcome::Retry { .. } | Outcome::Rejected { .. } => {}
    }
    Some(attempt.outcome)
}

/// A device that no gateway knows: whatever a gateway has against it, it has looked at the credential first. `None` for Web
/// Push, which has no credential that anybody could set.
pub fn nobody(platform: Platform) -> Option<Recipient> {
    let token = match platform {
        Platform::Apns => "00".repeat(32),
        Platform::Fcm => "heliostat-credential-check:nobody".to_owned(),
        Platform::Web => return None,
    };
    Some(Recipient {
        device: DeviceOrdinal::default(),
        token: GatewayToken::parse(platform, &token).ok()?,
        bundle_id: BundleId::parse("heliostat.credential-check").ok(),
        environment: ApnsEnvironment::Production,
        registered_at: Timestamp::from_millis(0),
        user: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_nobody_where_there_is_a_credential() {
        assert!(nobody(Platform::Apns).is_some_and(|nobody| nobody.bundle_id.is_some()));
        assert!(nobody(Platform::Fcm).is_some());
        assert!(nobody(Platform::Web).is_none());
    }
}
