//! What an instance shows to its gateways: checked when it is set, sealed before it is kept. Neither an APNs key nor a service
//! account ends by itself, so there is no date of expiry; a gateway that stops taking one is seen in its state.

use delivery::probe;
use domain::credential::Credential as Given;
use domain::device::Platform;
use domain::instance::InstanceId;
use domain::outcome::Outcome;
use serde::Serialize;
use store::instances::CredentialRecord;
use utoipa::ToSchema;

use super::Admin;
use super::actor::{Actor, Deed};
use super::error::AdminError;

/// A gateway credential of an instance, without its secrets.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// `apns` or `fcm`.
    pub platform: &'static str,
    /// `ok`, or `broken` while the gateway refuses it.
    pub state: &'static str,
    /// What it is: ids that the gateway's console shows too.
    pub summary: String,
    /// When it was set.
    #[schema(format = "date-time")]
    pub set_at: String,
    /// Since when the gateway refuses it.
    #[schema(format = "date-time")]
    pub broken_since: Option<String>,
    /// What the gateway holds against it.
    pub broken_reason: Option<String>,
}

/// A credential that was just set.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CredentialSet {
    /// The instance's UUID.
    pub instance: String,
    /// `apns` or `fcm`.
    pub platform: &'static str,
    /// What it is.
    pub summary: String,
}

impl Credential {
    /// What may be shown of a credential.
    pub fn of(record: &CredentialRecord) -> Self {
        let broken = record.broken.as_ref();
        Self {
            platform: record.platform.as_str(),
            state: if broken.is_some() { "broken" } else { "ok" },
            summary: record.summary.clone(),
            set_at: record.set_at.to_string(),
            broken_since: broken.map(|broken| broken.since.to_string()),
            broken_reason: broken.map(|broken| broken.reason.clone()),
        }
    }
}

/// Sets a credential in place of the one before.
pub async fn set(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    given: &Given,
) -> Result<CredentialSet, AdminError> {
    let new = admin.vault.new_credential(instance, given, admin.now())?;
    let platform = given.platform();
    let deed = Deed::new("credential.set").at(instance).on(platform);
    let set =
        move |admin: Admin| async move { Ok(admin.store.set_credential(instance, new).await?) };
    admin.audited(actor, deed, set).await?;
    Ok(CredentialSet {
        instance: instance.to_string(),
        platform: platform.as_str(),
        summary: given.summary(),
    })
}

/// The credentials of an instance.
pub async fn list(admin: &Admin, instance: InstanceId) -> Result<Vec<Credential>, AdminError> {
    let record = admin.record(instance).await?;
    Ok(record.credentials.iter().map(Credential::of).collect())
}

/// What a gateway thinks of a credential.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Checked {
    /// `apns` or `fcm`.
    pub platform: &'static str,
    /// `taken`, `refused`, or `unknown` if the gateway could not be asked.
    pub verdict: &'static str,
    /// What the gateway holds against it, or why it could not be asked.
    pub reason: Option<String>,
}

/// Shows a credential to its gateway, with a delivery to a device that there is not.
pub async fn check(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    platform: Platform,
) -> Result<Checked, AdminError> {
    let missing = || AdminError::NotFound { what: "credential" };
    let nobody = probe::nobody(platform).ok_or_else(missing)?;
    let deed = Deed::new("credential.check").at(instance).on(platform);
    let check = move |admin: Admin| async move {
        let opened = admin.instances.get(instance).await?;
        let opened = opened.ok_or(AdminError::InstanceNotFound)?;
        let payloads = super::devices::greeting()?;
        probe::send(&admin.instances, &opened, &nobody, &payloads, &*admin.clock)
            .await
            .ok_or_else(missing)
    };
    let (verdict, reason) = match admin.audited(actor, deed, check).await? {
        Outcome::CredentialBroken { reason } => ("refused", Some(reason)),
        Outcome::Retry { reason, .. } => ("unknown", Some(reason)),
        Outcome::Accepted | Outcome::TokenDead { .. } | Outcome::Rejected { .. } => ("taken", None),
    };
    Ok(Checked {
        platform: platform.as_str(),
        verdict,
        reason: reason.map(Into::into),
    })
}

/// The credential for one platform.
pub async fn show(
    admin: &Admin,
    instance: InstanceId,
    platform: Platform,
) -> Result<Credential, AdminError> {
    let record = admin.record(instance).await?;
    let found = record.credentials.iter().find(|c| c.platform == platform);
    found
        .map(Credential::of)
        .ok_or(AdminError::NotFound { what: "credential" })
}
