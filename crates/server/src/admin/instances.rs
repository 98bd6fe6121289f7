//! Instances: create, list, show, rename, delete.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::instance::{InstanceId, InstanceName, SecretKey as Key};
use serde::Serialize;
use store::StoreError;
use store::instances::InstanceRecord;
use utoipa::ToSchema;

use super::Admin;
use super::access::Access;
use super::actor::{Actor, Deed};
use super::credentials::Credential;
use super::error::AdminError;
use super::secret_keys::SecretKey;

/// An instance, without its secrets.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// Its UUID.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// When it was created.
    #[schema(format = "date-time")]
    pub created_at: String,
    /// The public half of its VAPID key pair, base64url.
    pub vapid_public_key: String,
    /// Its active secret keys, without the keys.
    pub secret_keys: Vec<SecretKey>,
    /// Its gateway credentials and their state.
    pub credentials: Vec<Credential>,
}

/// An instance that was just created. The only answer that has its first secret key.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    /// Its UUID.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its secret key, which is not shown again.
    #[schema(value_type = String)]
    pub secret_key: zeroize::Zeroizing<String>,
    /// The public half of its VAPID key pair, base64url.
    pub vapid_public_key: String,
}

/// An instance to be created.
#[derive(Debug)]
pub struct New {
    /// Its id.
    pub id: InstanceId,
    /// What people call it.
    pub name: InstanceName,
    /// Its first secret key.
    pub secret_key: Key,
}

impl Instance {
    /// What may be shown of an instance.
    pub fn of(record: &InstanceRecord) -> Self {
        Self {
            id: record.id.to_string(),
            name: record.name.as_str().to_owned(),
            created_at: record.created_at.to_string(),
            vapid_public_key: URL_SAFE_NO_PAD.encode(&record.vapid_public_key),
            secret_keys: record.secret_keys.iter().map(SecretKey::of).collect(),
            credentials: record.credentials.iter().map(Credential::of).collect(),
        }
    }
}

/// Creates an instance.
pub async fn create(admin: &Admin, actor: &Actor, new: New) -> Result<Created, AdminError> {
    let deed = Deed::new("instance.create")
        .at(new.id)
        .on(new.name.as_str());
    let name = new.name.as_str().to_owned();
    let record = admin
        .vault
        .new_instance(new.id, new.name, &new.secret_key, admin.now())?;
    let vapid_public_key = URL_SAFE_NO_PAD.encode(&record.vapid_public_key);
    let create = move |admin: Admin| async move {
        let created = admin.store.create_instance(record).await;
        created.map_err(|error| match error {
            StoreError::InstanceExists => AdminError::InstanceExists(new.id),
            other => other.into(),
        })
    };
    admin.audited(actor, deed, create).await?;
    Ok(Created {
        id: new.id.to_string(),
        name,
        secret_key: new.secret_key.reveal().to_owned().into(),
        vapid_public_key,
    })
}

/// The instances that somebody may look at, by name, then id.
pub async fn list(admin: &Admin, access: &Access) -> Result<Vec<Instance>, AdminError> {
    let all = admin.store.instances().await?;
    let reached = all.iter().filter(|record| access.scope.reaches(record.id));
    Ok(reached.map(Instance::of).collect())
}

/// One instance.
pub async fn show(admin: &Admin, id: InstanceId) -> Result<Instance, AdminError> {
    admin.record(id).await.map(|record| Instance::of(&record))
}

/// Gives an instance another name.
pub async fn rename(
    admin: &Admin,
    actor: &Actor,
    id: InstanceId,
    name: InstanceName,
) -> Result<Instance, AdminError> {
    let deed = Deed::new("instance.rename").at(id).on(name.as_str());
    let rename = move |admin: Admin| async move {
        if admin.store.rename_instance(id, name).await? {
            Ok(())
        } else {
            Err(AdminError::InstanceNotFound)
        }
    };
    admin.audited(actor, deed, rename).await?;
    show(admin, id).await
}

/// Deletes an instance and everything in it.
pub async fn delete(admin: &Admin, actor: &Actor, id: InstanceId) -> Result<(), AdminError> {
    let deed = Deed::new("instance.delete").at(id);
    let delete = move |admin: Admin| async move {
        if admin.store.delete_instance(id).await? {
            Ok(())
        } else {
            Err(AdminError::InstanceNotFound)
        }
    };
    admin.audited(actor, deed, delete).await
}

/// Lets the debug console of an instance show payloads, to everybody who may look at the instance, or hides them again.
pub async fn show_payloads(
    admin: &Admin,
    actor: &Actor,
    id: InstanceId,
    shows: bool,
) -> Result<(), AdminError> {
    let deed = Deed::new("console.payloads").at(id);
    let deed = deed.on(if shows { "shown" } else { "hidden" });
    let change = move |admin: Admin| async move { Ok(admin.store.show_payloads(id, shows).await?) };
    admin.audited(actor, deed, change).await
}
