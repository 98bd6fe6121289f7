//! How typed values stand in columns, and back. What does not read back is [`StoreError::Corrupt`].

use domain::clock::Timestamp;
use domain::device::{ApnsEnvironment, BundleId, DeviceOrdinal, GatewayToken, Platform, Recipient};
use domain::interest::InterestName;
use domain::user::UserId;
use rusqlite::Row;

use crate::StoreError;

pub(super) const fn environment_word(environment: ApnsEnvironment) -> &'static str {
    match environment {
        ApnsEnvironment::Production => "production",
        ApnsEnvironment::Sandbox => "sandbox",
    }
}

fn environment(word: &str) -> Result<ApnsEnvironment, StoreError> {
    match word {
        "production" => Ok(ApnsEnvironment::Production),
        "sandbox" => Ok(ApnsEnvironment::Sandbox),
        other => Err(StoreError::Corrupt(format!(
            "an APNs environment {other:?}"
        ))),
    }
}

pub(super) fn platform(word: &str) -> Result<Platform, StoreError> {
    Platform::parse(word).ok_or_else(|| StoreError::Corrupt(format!("a platform {word:?}")))
}

pub(super) fn interest(name: String) -> Result<InterestName, StoreError> {
    InterestName::parse(name)
        .map_err(|error| StoreError::Corrupt(format!("the name of an interest: {error}")))
}

pub(super) fn user(id: String) -> Result<UserId, StoreError> {
    UserId::parse(id).map_err(|error| StoreError::Corrupt(format!("the id of a user: {error}")))
}

pub(super) fn count(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Corrupt(format!("a count of {value}")))
}

/// A limit as SQL takes it.
pub(super) fn limit(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Reads `device, platform, identity, keys, bundle_id, environment, registered_at` from the column `first` on; `None`
/// where the platform is not wanted.
pub(super) fn recipient(
    row: &Row<'_>,
    first: usize,
    wanted: impl FnOnce(Platform) -> bool,
) -> Result<Option<Recipient>, StoreError> {
    let platform = platform(row.get_ref(first + 1)?.as_str()?)?;
    if !wanted(platform) {
        return Ok(None);
    }
    let device = DeviceOrdinal(row.get(first)?);
    let identity = row.get_ref(first + 2)?.as_str()?;
    let keys = row.get_ref(first + 3)?.as_blob_or_null()?;
    let token = GatewayToken::from_parts(platform, identity, keys)
        .ok_or_else(|| StoreError::Corrupt(format!("the gateway token of device {}", device.0)))?;
    let bundle_id = row
        .get_ref(first + 4)?
        .as_str_or_null()?
        .map(BundleId::parse)
        .transpose()
        .map_err(|error| StoreError::Corrupt(format!("device {}: {error}", device.0)))?;
    Ok(Some(Recipient {
        device,
        token,
        bundle_id,
        environment: environment(row.get_ref(first + 5)?.as_str()?)?,
        registered_at: Timestamp::from_millis(row.get(first + 6)?),
        user: None,
    }))
}

/// Passes over a device that does not read back, so that it does not stop all others.
pub(super) fn readable(
    read: Result<Option<Recipient>, StoreError>,
) -> Result<Option<Recipient>, StoreError> {
    match read {
        Err(StoreError::Corrupt(why)) => {
            tracing::error!(error = %why, "a device is passed over");
            Ok(None)
        }
        read => read,
    }
}
