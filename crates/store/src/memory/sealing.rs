//! Sealed values, for whoever changes the master key.

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::Platform;
use domain::seal::Sealed;

use super::MemoryStore;
use super::cluster::runs;
use super::state::State;
use crate::StoreError;
use crate::sealing::{
    NodeKeys, Resealed, SEALED_PAGE_MAX, SealedKind, SealedPlace, SealedRow, SealedValue, Sealing,
};

/// A sealed value where it stands.
type Standing<'a> = (SealedRow, SealedPlace, &'a mut Sealed);

impl State {
    /// All values of a kind.
    fn sealed(&mut self, kind: SealedKind) -> Vec<Standing<'_>> {
        let row = |number, other, text: &str| SealedRow {
            number,
            other,
            text: text.to_owned(),
        };
        if kind == SealedKind::WebhookSecrets {
            return self.webhook_secrets();
        }
        let instances = self.instances.rows.iter_mut();
        match kind {
            SealedKind::VapidKeys => instances
                .map(|(number, i)| {
                    let place = SealedPlace::VapidKey(i.id);
                    (row(*number, 0, ""), place, &mut i.vapid_private_key)
                })
                .collect(),
            SealedKind::SecretKeys => instances
                .flat_map(|(_, i)| i.secret_keys.iter_mut().map(|key| (i.id, key)))
                .map(|(id, key)| {
                    let place = SealedPlace::SecretKey(id);
                    (row(key.id.0, 0, ""), place, &mut key.sealed)
                })
                .collect(),
            SealedKind::Credentials => instances
                .flat_map(|(number, i)| i.credentials.iter_mut().map(|c| (*number, i.id, c)))
                .map(|(number, id, c)| {
                    let (platform, sealed): (Platform, _) = (c.platform, &mut c.sealed);
                    let place = SealedPlace::Credential(id, platform);
                    (row(number, 0, platform.as_str()), place, sealed)
                })
                .collect(),
            SealedKind::WebhookSecrets => Vec::new(),
            SealedKind::PublishWebhooks => {
                let publishes = self.publishes.rows.iter_mut();
                publishes
                    .filter_map(|(number, p)| {
                        let place = SealedPlace::PublishWebhook(p.publish.id);
                        let brought = p.webhook.as_mut()?;
                        Some((row(*number, 0, ""), place, &mut brought.0))
                    })
                    .collect()
            }
            SealedKind::ProviderTokens => {
                let tokens = self.nodes.tokens.iter_mut();
                tokens
                    .map(|(name, token)| {
                        let place = SealedPlace::ProviderToken(name.clone());
                        (row(0, 0, name.as_str()), place, &mut token.sealed)
                    })
                    .collect()
            }
        }
    }
}

#[async_trait]
impl Sealing for MemoryStore {
    async fn sealed_page(
        &self,
        kind: SealedKind,
        after: Option<SealedRow>,
        limit: usize,
    ) -> Result<Vec<SealedValue>, StoreError> {
        self.step(|state| {
            let mut values: Vec<SealedValue> = state
                .sealed(kind)
                .into_iter()
                .filter(|(row, _, _)| after.as_ref().is_none_or(|after| row > after))
                .map(|(row, place, sealed)| SealedValue {
                    row,
                    place,
                    sealed: sealed.clone(),
                })
                .collect();
            values.sort_by(|a, b| a.row.cmp(&b.row));
            values.truncate(limit.min(SEALED_PAGE_MAX));
            values
        })
    }

    async fn reseal(&self, kind: SealedKind, values: Vec<Resealed>) -> Result<u64, StoreError> {
        self.step(|state| {
            let mut replaced = 0;
            for (row, _, sealed) in state.sealed(kind) {
                let mut fitting = values.iter().filter(|v| v.row == row && v.from == *sealed);
                if let Some(value) = fitting.next() {
                    *sealed = value.to.clone();
                    replaced += 1;
                }
            }
            replaced
        })
    }

    async fn node_keys(&self, now: Timestamp) -> Result<Vec<NodeKeys>, StoreError> {
        self.step(|state| {
            let living = state.nodes.living.values();
            living
                .filter(|presence| runs(&presence.lease, now))
                .map(|presence| NodeKeys {
                    node: presence.lease.owner,
                    keys: presence.keys.clone(),
                })
                .collect()
        })
    }
}
