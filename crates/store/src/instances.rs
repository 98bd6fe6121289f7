//! What a store keeps of an instance. Secrets come and go sealed; a store never sees one in the clear.

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::{InstanceId, InstanceName};
use domain::seal::Sealed;

/// An instance to be created.
#[derive(Debug, Clone)]
pub struct NewInstance {
    /// Its id, chosen by the caller.
    pub id: InstanceId,
    /// What people call it.
    pub name: InstanceName,
    /// The public half of its VAPID key pair: an uncompressed P-256 point.
    pub vapid_public_key: Vec<u8>,
    /// The private half, PKCS#8, sealed.
    pub vapid_private_key: Sealed,
    /// Its first secret key.
    pub secret_key: NewSecretKey,
    /// When it is created.
    pub created_at: Timestamp,
}

/// A secret key to be added.
#[derive(Debug, Clone)]
pub struct NewSecretKey {
    /// The key, sealed.
    pub sealed: Sealed,
    /// What may be shown of it: its last four characters.
    pub hint: String,
    /// When it is added.
    pub created_at: Timestamp,
}

/// The number of a secret key within its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretKeyId(pub i64);

/// An active secret key.
#[derive(Debug, Clone)]
pub struct SecretKeyRecord {
    /// Its number.
    pub id: SecretKeyId,
    /// The key, sealed.
    pub sealed: Sealed,
    /// What may be shown of it.
    pub hint: String,
    /// When it was added.
    pub created_at: Timestamp,
}

/// Counts up with every change of a credential, so that news of an old one cannot be held against a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialVersion(pub i64);

/// A gateway credential of an instance.
#[derive(Debug, Clone)]
pub struct CredentialRecord {
    /// For the gateway of which platform.
    pub platform: Platform,
    /// The credential, sealed.
    pub sealed: Sealed,
    /// What may be shown of it.
    pub summary: String,
    /// Which one it is.
    pub version: CredentialVersion,
    /// When it was set.
    pub set_at: Timestamp,
    /// Since when, and why, the gateway refuses it; `None` while it does not.
    pub broken: Option<BrokenCredential>,
}

/// A gateway's refusal of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenCredential {
    /// Since when.
    pub since: Timestamp,
    /// What the gateway said, in our words.
    pub reason: String,
}

/// A credential to be set, in place of the one before.
#[derive(Debug, Clone)]
pub struct NewCredential {
    /// For the gateway of which platform.
    pub platform: Platform,
    /// The credential, sealed.
    pub sealed: Sealed,
    /// What may be shown of it.
    pub summary: String,
    /// When it is set.
    pub set_at: Timestamp,
}

/// An instance as kept.
#[derive(Debug, Clone)]
pub struct InstanceRecord {
    /// Its id.
    pub id: InstanceId,
    /// What people call it.
    pub name: InstanceName,
    /// The public half of its VAPID key pair.
    pub vapid_public_key: Vec<u8>,
    /// The private half, sealed.
    pub vapid_private_key: Sealed,
    /// Its active secret keys, oldest first; at least one.
    pub secret_keys: Vec<SecretKeyRecord>,
    /// Its gateway credentials, at most one per platform.
    pub credentials: Vec<CredentialRecord>,
    /// When it was created.
    pub created_at: Timestamp,
}
