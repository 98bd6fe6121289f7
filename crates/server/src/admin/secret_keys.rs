//! Secret keys of an instance: several may be active, so that one can take over from another.

use domain::instance::{InstanceId, SecretKey as Key};
use serde::Serialize;
use store::instances::{SecretKeyId, SecretKeyRecord};
use utoipa::ToSchema;

use super::Admin;
use super::actor::{Actor, Deed};
use super::error::AdminError;

/// An active secret key, without the key.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// Its number, by which it is revoked.
    pub number: i64,
    /// Its last characters.
    pub hint: String,
    /// When it was added.
    #[schema(format = "date-time")]
    pub created_at: String,
}

/// A secret key that was just added. The only answer that has it.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AddedSecretKey)]
pub struct Added {
    /// Its number, by which it is revoked.
    pub number: i64,
    /// The key, which is not shown again.
    #[schema(value_type = String)]
    pub secret_key: zeroize::Zeroizing<String>,
}

impl SecretKey {
    /// What may be shown of a key.
    pub fn of(record: &SecretKeyRecord) -> Self {
        Self {
            number: record.id.0,
            hint: record.hint.clone(),
            created_at: record.created_at.to_string(),
        }
    }
}

/// Adds a secret key beside the others.
pub async fn add(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    key: Key,
) -> Result<Added, AdminError> {
    let new = admin.vault.new_secret_key(instance, &key, admin.now())?;
    let deed = Deed::new("secret_key.add").at(instance).on(&new.hint);
    let add =
        move |admin: Admin| async move { Ok(admin.store.add_secret_key(instance, new).await?) };
    let SecretKeyId(number) = admin.audited(actor, deed, add).await?;
    Ok(Added {
        number,
        secret_key: key.reveal().to_owned().into(),
    })
}

/// The active secret keys, oldest first.
pub async fn list(admin: &Admin, instance: InstanceId) -> Result<Vec<SecretKey>, AdminError> {
    let record = admin.record(instance).await?;
    Ok(record.secret_keys.iter().map(SecretKey::of).collect())
}

/// Revokes a secret key. The last one stays.
pub async fn revoke(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    key: SecretKeyId,
) -> Result<(), AdminError> {
    let deed = Deed::new("secret_key.revoke").at(instance).on(key.0);
    let revoke = move |admin: Admin| async move {
        let record = admin.record(instance).await?;
        if admin.store.revoke_secret_key(instance, key).await? {
            return Ok(());
        }
        if record.secret_keys.iter().any(|known| known.id == key) {
            let why = format!("key {} is the last one and stays; add another first", key.0);
            return Err(AdminError::Conflict(why));
        }
        Err(AdminError::NotFound { what: "secret key" })
    };
    admin.audited(actor, deed, revoke).await
}
