//! What nodes tell each other.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::seal::Sealed;
use uuid::Uuid;

use super::MemoryStore;
use crate::StoreError;
use crate::cluster::{Cluster, Duty, Population, Presence, SharedToken, TokenName};
use crate::publishes::{AHEAD_MAX, Lease};

/// What the nodes on a store have said.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    pub(super) living: BTreeMap<Uuid, Presence>,
    /// By what a duty is called.
    duties: BTreeMap<String, Lease>,
    pub(super) tokens: BTreeMap<TokenName, SharedToken>,
}

/// Whether a lease has not ended, and was not given by a clock that was far ahead.
pub(super) fn runs(lease: &Lease, now: Timestamp) -> bool {
    lease.until > now && lease.until <= now.after(AHEAD_MAX)
}

impl Nodes {
    fn population(&self, now: Timestamp) -> Population {
        let living = || self.living.values().filter(|p| runs(&p.lease, now));
        Population {
            nodes: living().count() as u64,
            workers: living().filter(|p| p.is_worker).count() as u64,
        }
    }

    fn take_duty(&mut self, duty: &Duty, lease: Lease, now: Timestamp) -> bool {
        let held = self.duties.get(&duty.to_string());
        let free = held.is_none_or(|held| held.owner == lease.owner || !runs(held, now));
        if free {
            self.duties.insert(duty.to_string(), lease);
        }
        free
    }

    fn share_token(
        &mut self,
        name: TokenName,
        instead_of: Option<i64>,
        sealed: Sealed,
    ) -> SharedToken {
        if let Some(there) = self.tokens.get(&name)
            && instead_of != Some(there.version)
        {
            return there.clone();
        }
        let fresh = SharedToken {
            version: instead_of.unwrap_or(0) + 1,
            sealed,
        };
        self.tokens.insert(name, fresh.clone());
        fresh
    }
}

#[async_trait]
impl Cluster for MemoryStore {
    async fn present(&self, presence: Presence, now: Timestamp) -> Result<Population, StoreError> {
        self.step(|state| {
            state.nodes.living.retain(|_, p| p.lease.until > now);
            state.nodes.living.insert(presence.lease.owner, presence);
            state.nodes.population(now)
        })
    }

    async fn depart(&self, node: Uuid) -> Result<(), StoreError> {
        self.step(|state| {
            state.nodes.living.remove(&node);
            state.nodes.duties.retain(|_, lease| lease.owner != node);
        })
    }

    async fn population(&self, now: Timestamp) -> Result<Population, StoreError> {
        self.step(|state| state.nodes.population(now))
    }

    async fn take_duty(
        &self,
        duty: Duty,
        lease: Lease,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.step(|state| state.nodes.take_duty(&duty, lease, now))
    }

    async fn give_up_duty(&self, duty: Duty, node: Uuid) -> Result<(), StoreError> {
        self.step(|state| {
            let duties = &mut state.nodes.duties;
            duties.retain(|name, lease| *name != duty.to_string() || lease.owner != node);
        })
    }

    async fn shared_token(&self, name: TokenName) -> Result<Option<SharedToken>, StoreError> {
        self.step(|state| state.nodes.tokens.get(&name).cloned())
    }

    async fn share_token(
        &self,
        name: TokenName,
        instead_of: Option<i64>,
        sealed: Sealed,
    ) -> Result<SharedToken, StoreError> {
        self.step(|state| state.nodes.share_token(name, instead_of, sealed))
    }

    /// Everybody who uses this store polls.
    async fn wait_for_work(&self) {
        std::future::pending::<()>().await;
    }

    /// Nothing is moved into a model.
    async fn is_being_filled(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Whether the nodes of a simulation are dead, this store cannot tell.
    async fn succeed_the_dead(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}
