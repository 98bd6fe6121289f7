//! Rules of what stands sealed, for whoever changes the master key.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::device::Platform;
use domain::instance::InstanceId;
use domain::publish::PublishId;
use domain::seal::{KeyId, Sealed};
use domain::webhook::{EventType, WebhookId};
use uuid::Uuid;

use super::webhooks::webhook;
use super::world::*;
use crate::Store;
use crate::cluster::{Presence, TokenName};
use crate::instances::NewCredential;
use crate::publishes::NewPublish;
use crate::sealing::{NodeKeys, Resealed, SealedKind, SealedPlace, SealedValue};
use crate::webhooks::PublishWebhook;

fn sealed(text: &str) -> Sealed {
    Sealed::from_bytes(text.as_bytes().to_vec())
}

struct Filled {
    instances: [InstanceId; 2],
    webhook: WebhookId,
    publish: PublishId,
    token: TokenName,
}

/// Everything that can be sealed, in two instances.
async fn fill(store: &Arc<dyn Store>) -> Filled {
    let instances = [instance(store).await, instance(store).await];
    store
        .add_secret_key(instances[0], secret_key("second"))
        .await
        .unwrap();
    for platform in [Platform::Apns, Platform::Fcm] {
        let credential = NewCredential {
            platform,
            sealed: sealed(platform.as_str()),
            summary: String::new(),
            set_at: at(1),
        };
        store
            .set_credential(instances[1], credential)
            .await
            .unwrap();
    }
    let webhook = webhook(store, instances[0], &[EventType::DeviceRegistered]).await;
    subscriber(store, instances[0], 1, &["news"]).await;
    let publish = publish(instances[0], &[Platform::Fcm]);
    let id = publish.id;
    let new = NewPublish {
        publish,
        audience: to_interests(&["news"]),
        once: None,
        webhook: Some(PublishWebhook(sealed("brought"))),
    };
    store.create_publish(new, UNLEASED).await.unwrap();
    let token = TokenName::new("apns/x");
    let shared = store.share_token(token.clone(), None, sealed("shared"));
    shared.await.unwrap();
    Filled {
        instances,
        webhook,
        publish: id,
        token,
    }
}

/// All of a kind, in pages of one.
async fn all(store: &Arc<dyn Store>, kind: SealedKind) -> Vec<SealedValue> {
    let mut values: Vec<SealedValue> = Vec::new();
    loop {
        let after = values.last().map(|value| value.row.clone());
        let page = store.sealed_page(kind, after, 1).await.unwrap();
        if page.is_empty() {
            return values;
        }
        assert_eq!(page.len(), 1);
        values.extend(page);
    }
}

fn places(values: &[SealedValue]) -> BTreeSet<String> {
    values.iter().map(|v| format!("{:?}", v.place)).collect()
}

pub async fn every_sealed_value_is_found(store: Arc<dyn Store>) {
    for kind in SealedKind::ALL {
        assert_eq!(all(&store, kind).await, []);
    }
    let filled = fill(&store).await;
    let [one, two] = filled.instances;
    let expected = [
        (
            SealedKind::VapidKeys,
            vec![SealedPlace::VapidKey(one), SealedPlace::VapidKey(two)],
        ),
        (
            SealedKind::SecretKeys,
            vec![
                SealedPlace::SecretKey(one),
                SealedPlace::SecretKey(one),
                SealedPlace::SecretKey(two),
            ],
        ),
        (
            SealedKind::Credentials,
            vec![
                SealedPlace::Credential(two, Platform::Apns),
                SealedPlace::Credential(two, Platform::Fcm),
            ],
        ),
        (
            SealedKind::WebhookSecrets,
            vec![SealedPlace::WebhookSecret(one, filled.webhook)],
        ),
        (
            SealedKind::PublishWebhooks,
            vec![SealedPlace::PublishWebhook(filled.publish)],
        ),
        (
            SealedKind::ProviderTokens,
            vec![SealedPlace::ProviderToken(filled.token)],
        ),
    ];
    for (kind, expected) in expected {
        let values = all(&store, kind).await;
        assert_eq!(values.len(), expected.len(), "{kind}");
        let expected: BTreeSet<_> = expected.iter().map(|place| format!("{place:?}")).collect();
        assert_eq!(places(&values), expected);
        // In one page as in many.
        let page = store.sealed_page(kind, None, 100).await.unwrap();
        assert_eq!(page, values);
    }
}

pub async fn a_value_is_replaced_where_it_still_stands(store: Arc<dyn Store>) {
    let filled = fill(&store).await;
    let version = store.configuration_version().await.unwrap();
    for kind in SealedKind::ALL {
        let values = all(&store, kind).await;
        let change = |from: Option<&str>| {
            let values = values.iter().enumerate();
            let changed = values.map(|(number, value)| Resealed {
                row: value.row.clone(),
                from: from.map_or_else(|| value.sealed.clone(), sealed),
                to: sealed(&format!("anew {number}")),
            });
            changed.collect::<Vec<_>>()
        };
        let other = change(Some("what is not there"));
        assert_eq!(store.reseal(kind, other).await.unwrap(), 0);
        assert_eq!(all(&store, kind).await, values);
        let count = values.len() as u64;
        assert_eq!(store.reseal(kind, change(None)).await.unwrap(), count);
        // A second time they are not there any more.
        assert_eq!(store.reseal(kind, change(None)).await.unwrap(), 0);
        for (number, value) in all(&store, kind).await.into_iter().enumerate() {
            assert_eq!(value.sealed, sealed(&format!("anew {number}")), "{kind}");
            assert_eq!(value.row, values[number].row);
        }
    }
    // Whoever reads them in another way reads the same, and nobody is told of a change.
    let record = store.instance(filled.instances[1]).await.unwrap().unwrap();
    assert!(record.vapid_private_key.as_bytes().starts_with(b"anew"));
    assert!(record.secret_keys[0].sealed.as_bytes().starts_with(b"anew"));
    let mut credentials = record.credentials.iter();
    assert!(credentials.all(|c| c.sealed.as_bytes().starts_with(b"anew")));
    let token = store.shared_token(filled.token).await.unwrap().unwrap();
    assert_eq!(token.sealed, sealed("anew 0"));
    assert_eq!(store.configuration_version().await.unwrap(), version);
}

pub async fn the_keys_of_nodes_are_told(store: Arc<dyn Store>) {
    let key = |number| KeyId::from_bytes([number; KeyId::LENGTH]);
    let present = |node: u128, keys: Vec<KeyId>, until| {
        let mut lease = lease(node, 0);
        lease.until = at(until);
        let presence = Presence {
            lease,
            is_worker: true,
            keys,
        };
        store.present(presence, at(0))
    };
    present(1, vec![key(1)], 10).await.unwrap();
    present(2, Vec::new(), 20).await.unwrap();
    // What was said last counts, in its order.
    present(1, vec![key(2), key(1)], 30).await.unwrap();
    let of = |node: u128, keys: Vec<KeyId>| NodeKeys {
        node: Uuid::from_u128(node),
        keys,
    };
    let first = of(1, vec![key(2), key(1)]);
    let second = of(2, Vec::new());
    assert_eq!(
        store.node_keys(at(5)).await.unwrap(),
        [first.clone(), second]
    );
    assert_eq!(store.node_keys(at(20)).await.unwrap(), [first]);
    assert_eq!(store.node_keys(at(30)).await.unwrap(), []);
}
