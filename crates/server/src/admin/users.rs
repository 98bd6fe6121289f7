//! Users: delete one and all the user's devices.

use domain::instance::InstanceId;
use domain::user::UserId;
use serde::Serialize;
use utoipa::ToSchema;

use super::Admin;
use super::actor::{Actor, Deed};
use super::error::AdminError;

/// A user who was deleted.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// How many devices the user had.
    pub devices_deleted: u64,
}

/// Deletes a user and all the user's devices. One who has none is deleted already.
pub async fn delete(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    user: UserId,
) -> Result<Deleted, AdminError> {
    let deed = Deed::new("user.delete").at(instance).to(user.clone());
    let delete = async { Ok(admin.store.delete_user(instance, user).await?) };
    let devices_deleted = admin.audited(actor, deed, delete).await?;
    Ok(Deleted { devices_deleted })
}
