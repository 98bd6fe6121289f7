//! Changing the master key: everything that stands sealed in a store is sealed anew under the key that seals now.
//!
//! Works beside servers, in batches, each of which is one transaction; cut short, it goes on where values are still under
//! another key. A value that somebody changes meanwhile is met again on the next pass. Must not know where keys come from.
//!
//! Invariant: nothing is sealed under a key that a living node does not have.

use std::collections::BTreeMap;

use domain::clock::{Clock, Timestamp};
use domain::seal::KeyId;
use store::sealing::{NodeKeys, Resealed, SEALED_PAGE_MAX, SealedKind, SealedRow, SealedValue};
use store::{Store, StoreError};
use uuid::Uuid;

use crate::vault::Vault;

/// How often everything is looked at, at most. A pass finds something on the next one only if somebody has sealed it under
/// another key meanwhile.
const PASSES_MAX: usize = 10;

/// Why nothing, or not everything, is under the key that seals.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The store failed. What was done stays done.
    #[error("the database failed: {0}")]
    Store(#[from] StoreError),
    /// A server runs that could not open what would be sealed.
    #[error(
        "the server {node} does not have the master key {key}: give it to every server, restart them one by one, then rotate"
    )]
    NodeWithout {
        /// Which one.
        node: Uuid,
        /// The key that seals here.
        key: KeyId,
    },
    /// A server runs that seals under another key. Everything that was there is under the new one.
    #[error(
        "the server {node} still seals under the master key {key}: put the new key first on every server, restart them one by one, then rotate again"
    )]
    NodeBehind {
        /// Which one.
        node: Uuid,
        /// The key that it seals under.
        key: KeyId,
    },
    /// Some values open under none of the keys that are there. All others are under the one that seals.
    #[error(
        "{count} values open under none of the configured master keys, one of {kind} among them{}; the key that they are under is needed, or what they are of must be set anew",
        .key.map(|key| format!(" (it needs {key})")).unwrap_or_default()
    )]
    Unopened {
        /// How many.
        count: u64,
        /// What one of them is.
        kind: SealedKind,
        /// What key it names, if it names one.
        key: Option<KeyId>,
    },
    /// Whatever was sealed anew, somebody put others there under another key.
    #[error(
        "values keep being sealed under another master key: something runs with other keys than this command"
    )]
    NeverDone,
}

/// What is under which key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// How many values of a kind are under a key; `None` for those that were sealed before values named their keys, or are
    /// damaged.
    pub values: BTreeMap<(Option<KeyId>, SealedKind), u64>,
    /// The keys of the servers that live.
    pub nodes: Vec<NodeKeys>,
}

impl Survey {
    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.values.values().sum()
    }

    /// How many of them are under `key`.
    pub fn under(&self, key: Option<KeyId>) -> u64 {
        let values = self.values.iter();
        values
            .filter(|((under, _), _)| *under == key)
            .map(|(_, count)| count)
            .sum()
    }

    /// The servers that seal under a key.
    pub fn sealing_with(&self, key: KeyId) -> impl Iterator<Item = &NodeKeys> {
        let nodes = self.nodes.iter();
        nodes.filter(move |node| node.keys.first() == Some(&key))
    }
}

/// Looks at everything that is sealed.
///
/// # Errors
/// Those of the store.
pub async fn survey(store: &dyn Store, now: Timestamp) -> Result<Survey, StoreError> {
    let mut survey = Survey {
        nodes: store.node_keys(now).await?,
        ..Survey::default()
    };
    for kind in SealedKind::ALL {
        let mut after = None;
        loop {
            let (page, next) = page(store, kind, after).await?;
            for value in &page {
                let under = (value.sealed.key_id(), kind);
                *survey.values.entry(under).or_default() += 1;
            }
            match next {
                Some(row) => after = Some(row),
                None => break,
            }
        }
    }
    Ok(survey)
}

/// The next values, and behind which row there may be more.
async fn page(
    store: &dyn Store,
    kind: SealedKind,
    after: Option<SealedRow>,
) -> Result<(Vec<SealedValue>, Option<SealedRow>), StoreError> {
    let page = store.sealed_page(kind, after, SEALED_PAGE_MAX).await?;
    let next = match page.last() {
        Some(last) if page.len() == SEALED_PAGE_MAX => Some(last.row.clone()),
        _ => None,
    };
    Ok((page, next))
}

/// Values that were met, and those of them that were sealed anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Looked at, over all passes.
    pub seen: u64,
    /// Sealed anew.
    pub resealed: u64,
}

/// What is being done.
#[derive(Debug)]
pub struct Rotation<'a> {
    store: &'a dyn Store,
    vault: &'a Vault,
    clock: &'a dyn Clock,
    done: Rotated,
    /// What did not open on this pass: how many, and one of them.
    unopened: Option<(u64, SealedKind, Option<KeyId>)>,
}

impl<'a> Rotation<'a> {
    /// Of everything in `store`, to the key with which `vault` seals.
    pub fn new(store: &'a dyn Store, vault: &'a Vault, clock: &'a dyn Clock) -> Self {
        Self {
            store,
            vault,
            clock,
            done: Rotated::default(),
            unopened: None,
        }
    }

    /// Does it. `watch` is told after each batch.
    ///
    /// # Errors
    /// See [`RotationError`]. Whatever it is, the same again goes on.
    pub async fn run(
        mut self,
        mut watch: impl FnMut(Rotated) + Send,
    ) -> Result<Rotated, RotationError> {
        for _ in 0..PASSES_MAX {
            let before = self.done.resealed;
            self.unopened = None;
            for kind in SealedKind::ALL {
                self.check_nodes(false).await?;
                self.pass(kind, &mut watch).await?;
            }
            if self.done.resealed == before {
                self.check_nodes(true).await?;
                return match self.unopened {
                    None => Ok(self.done),
                    Some((count, kind, key)) => Err(RotationError::Unopened { count, kind, key }),
                };
            }
        }
        self.check_nodes(true).await?;
        Err(RotationError::NeverDone)
    }

    /// Every living server must have the key; at the end, every one must seal with it.
    async fn check_nodes(&self, is_end: bool) -> Result<(), RotationError> {
        let Some(key) = self.vault.key_ids().first().copied() else {
            return Ok(());
        };
        for NodeKeys { node, keys } in self.store.node_keys(self.clock.now()).await? {
            if !keys.contains(&key) {
                return Err(RotationError::NodeWithout { node, key });
            }
            if let Some(first) = keys.first().filter(|first| is_end && **first != key) {
                return Err(RotationError::NodeBehind { node, key: *first });
            }
        }
        Ok(())
    }

    async fn pass(
        &mut self,
        kind: SealedKind,
        watch: &mut (impl FnMut(Rotated) + Send),
    ) -> Result<(), RotationError> {
        let mut after = None;
        loop {
            let (page, next) = page(self.store, kind, after).await?;
            self.done.seen += page.len() as u64;
            let anew = self.anew(kind, page);
            if !anew.is_empty() {
                self.done.resealed += self.store.reseal(kind, anew).await?;
            }
            watch(self.done);
            match next {
                Some(row) => after = Some(row),
                None => return Ok(()),
            }
        }
    }

    fn anew(&mut self, kind: SealedKind, page: Vec<SealedValue>) -> Vec<Resealed> {
        let mut anew = Vec::new();
        for SealedValue { row, place, sealed } in page {
            if self.vault.is_current(&sealed) {
                continue;
            }
            match self.vault.reseal(&place, &sealed) {
                Ok(to) => anew.push(Resealed {
                    row,
                    from: sealed,
                    to,
                }),
                Err(error) => {
                    tracing::warn!(%kind, ?place, %error, "a sealed value does not open");
                    let (count, ..) = self.unopened.unwrap_or((0, kind, None));
                    self.unopened = Some((count + 1, kind, sealed.key_id()));
                }
            }
        }
        anew
    }
}
