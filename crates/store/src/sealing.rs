//! What stands sealed in a store, value by value, for whoever changes the master key; and which node has which keys.
//!
//! The store opens nothing. It gives out what it has in pages, and puts another value in place of one that is still there.
//! Every column that holds something sealed is a [`SealedKind`]; a test of each backend looks for one that is not.

use std::fmt;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;
use domain::publish::PublishId;
use domain::seal::{KeyId, Sealed};
use domain::webhook::WebhookId;
use uuid::Uuid;

use crate::StoreError;
use crate::cluster::TokenName;

/// How many values are read or replaced at once, at most.
pub const SEALED_PAGE_MAX: usize = 200;

/// A column with sealed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SealedKind {
    /// VAPID private keys of instances.
    VapidKeys,
    /// Secret keys of instances.
    SecretKeys,
    /// Gateway credentials of instances.
    Credentials,
    /// Webhooks' secrets.
    WebhookSecrets,
    /// URLs that publishes brought along.
    PublishWebhooks,
    /// Provider tokens that nodes share.
    ProviderTokens,
}

impl SealedKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::VapidKeys,
        Self::SecretKeys,
        Self::Credentials,
        Self::WebhookSecrets,
        Self::PublishWebhooks,
        Self::ProviderTokens,
    ];

    /// Its name, for people and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VapidKeys => "vapid_keys",
            Self::SecretKeys => "secret_keys",
            Self::Credentials => "credentials",
            Self::WebhookSecrets => "webhook_secrets",
            Self::PublishWebhooks => "publish_webhooks",
            Self::ProviderTokens => "provider_tokens",
        }
    }

    /// Table and column, the same in every backend.
    pub const fn column(self) -> (&'static str, &'static str) {
        match self {
            Self::VapidKeys => ("instances", "vapid_private_key"),
            Self::SecretKeys => ("secret_keys", "sealed"),
            Self::Credentials => ("credentials", "sealed"),
            Self::WebhookSecrets => ("webhooks", "secret"),
            Self::PublishWebhooks => ("publish_webhooks", "sealed"),
            Self::ProviderTokens => ("provider_tokens", "sealed"),
        }
    }

    /// What a row of this kind is of. `id` is the instance's or the publish's, `other` the webhook's, `text` the platform or the
    /// name.
    pub(crate) fn place(
        self,
        id: Uuid,
        other: Uuid,
        text: &str,
    ) -> Result<SealedPlace, StoreError> {
        let instance = InstanceId::from_uuid(id);
        Ok(match self {
            Self::VapidKeys => SealedPlace::VapidKey(instance),
            Self::SecretKeys => SealedPlace::SecretKey(instance),
            Self::Credentials => {
                let platform = Platform::parse(text)
                    .ok_or_else(|| StoreError::Corrupt(format!("a platform {text:?}")))?;
                SealedPlace::Credential(instance, platform)
            }
            Self::WebhookSecrets => {
                SealedPlace::WebhookSecret(instance, WebhookId::from_uuid(other))
            }
            Self::PublishWebhooks => SealedPlace::PublishWebhook(PublishId::from_uuid(id)),
            Self::ProviderTokens => SealedPlace::ProviderToken(TokenName::new(text)),
        })
    }
}

impl fmt::Display for SealedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a sealed value is, and whose it is: what it was sealed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealedPlace {
    /// The VAPID private key of an instance.
    VapidKey(InstanceId),
    /// A secret key of an instance.
    SecretKey(InstanceId),
    /// An instance's credential for a platform's gateway.
    Credential(InstanceId, Platform),
    /// The secret of an instance's webhook.
    WebhookSecret(InstanceId, WebhookId),
    /// What a publish brought along.
    PublishWebhook(PublishId),
    /// The provider token of this name.
    ProviderToken(TokenName),
}

/// A row with a sealed value, in the terms of the store it came from. Rows of a kind have an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SealedRow {
    pub(crate) number: i64,
    pub(crate) other: i64,
    pub(crate) text: String,
}

impl SealedRow {
    /// Before all rows.
    pub(crate) const FIRST: Self = Self {
        number: i64::MIN,
        other: i64::MIN,
        text: String::new(),
    };
}

/// A sealed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedValue {
    /// Its row.
    pub row: SealedRow,
    /// What it was sealed for.
    pub place: SealedPlace,
    /// The value.
    pub sealed: Sealed,
}

/// A value to be put in place of another.
#[derive(Debug, Clone)]
pub struct Resealed {
    /// The row.
    pub row: SealedRow,
    /// What must be there still.
    pub from: Sealed,
    /// What is there afterwards.
    pub to: Sealed,
}

/// The master keys of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeKeys {
    /// The node, as its leases name it.
    pub node: Uuid,
    /// The keys, the one that seals first; none of a node of a release that does not say.
    pub keys: Vec<KeyId>,
}

/// Key ids as a store keeps them: one behind the other.
pub(crate) fn ids_to_bytes(ids: &[KeyId]) -> Vec<u8> {
    ids.iter().flat_map(|id| *id.as_bytes()).collect()
}

pub(crate) fn ids_from_bytes(bytes: Option<&[u8]>) -> Vec<KeyId> {
    let (ids, _) = bytes.unwrap_or_default().as_chunks();
    ids.iter().copied().map(KeyId::from_bytes).collect()
}

/// What it takes to change the master key. The contract of [`Store`](crate::Store) holds here too.
#[async_trait]
pub trait Sealing: Send + Sync + fmt::Debug {
    /// Values of a kind, in the order of their rows, from behind `after` on: `limit` of them, at most [`SEALED_PAGE_MAX`].
    /// Fewer are the last.
    async fn sealed_page(
        &self,
        kind: SealedKind,
        after: Option<SealedRow>,
        limit: usize,
    ) -> Result<Vec<SealedValue>, StoreError>;

    /// Puts values in place of those that they were made from, where these are still there; a value that somebody has replaced
    /// or removed meanwhile is left alone. How many were put there. Changes nothing else: to everybody it is the same secret.
    async fn reseal(&self, kind: SealedKind, values: Vec<Resealed>) -> Result<u64, StoreError>;

    /// The keys of the nodes that live now.
    async fn node_keys(&self, now: Timestamp) -> Result<Vec<NodeKeys>, StoreError>;
}
