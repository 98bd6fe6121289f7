//! Devices: look one up, delete it.

use domain::device::DeviceId;
use domain::instance::InstanceId;
use domain::interest::INTERESTS_PER_DEVICE_MAX;
use serde::Serialize;
use serde_json::Value;
use store::devices::DeviceRecord;
use utoipa::ToSchema;

use super::Admin;
use super::actor::{Actor, Deed};
use super::error::AdminError;

/// A device, without its gateway token.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Its id: the platform, a hyphen, a UUID.
    pub id: String,
    /// `apns`, `fcm` or `web`.
    pub platform: &'static str,
    /// Its user, if one is bound.
    pub user: Option<String>,
    /// What its SDK told of it.
    #[schema(value_type = Object)]
    pub metadata: Value,
    /// When it registered first.
    #[schema(format = "date-time")]
    pub created_at: String,
    /// When it registered last, which SDKs do when the app starts and its gateway token is another one.
    #[schema(format = "date-time")]
    pub registered_at: String,
}

/// A device with its interests.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeviceInFull {
    /// The device.
    #[serde(flatten)]
    pub device: Device,
    /// Its interests, ascending.
    pub interests: Vec<String>,
}

impl Device {
    /// What may be shown of a device.
    pub fn of(record: &DeviceRecord) -> Self {
        Self {
            id: record.id.to_string(),
            platform: record.id.platform().as_str(),
            user: record.user.as_ref().map(|user| user.as_str().to_owned()),
            // Checked to be JSON when it came.
            metadata: serde_json::from_str(record.metadata.as_json()).unwrap_or_default(),
            created_at: record.created_at.to_string(),
            registered_at: record.registered_at.to_string(),
        }
    }
}

const UNKNOWN: AdminError = AdminError::NotFound { what: "device" };

/// One device.
pub async fn show(
    admin: &Admin,
    instance: InstanceId,
    id: DeviceId,
) -> Result<DeviceInFull, AdminError> {
    let store = admin.store();
    let record = store.device(instance, id).await?.ok_or(UNKNOWN)?;
    let page = store.interests(instance, id, None, INTERESTS_PER_DEVICE_MAX);
    let interests = page.await?.map(|page| page.interests).unwrap_or_default();
    let text = |name: domain::interest::InterestName| name.as_str().to_owned();
    Ok(DeviceInFull {
        device: Device::of(&record),
        interests: interests.into_iter().map(text).collect(),
    })
}

/// Deletes a device, its subscriptions and what waits to be sent to it.
pub async fn delete(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    id: DeviceId,
) -> Result<(), AdminError> {
    let deed = Deed::new("device.delete").at(instance).on(id);
    let delete = async {
        if admin.store.delete_device(instance, id).await? {
            Ok(())
        } else {
            Err(UNKNOWN)
        }
    };
    admin.audited(actor, deed, delete).await
}
