//! How typed values stand in columns, and back. What does not read back is damage.

use aws_lc_rs::digest::{Context, SHA256};
use domain::clock::Timestamp;
use domain::device::{ApnsEnvironment, BundleId, DeviceOrdinal, GatewayToken, Platform, Recipient};
use domain::interest::InterestName;
use domain::trace::TraceParent;
use domain::user::UserId;
use tokio_postgres::Row;

use super::fault::{Fault, corrupt};
use super::session::Columns as _;
use crate::StoreError;

pub(super) const fn environment_word(environment: ApnsEnvironment) -> &'static str {
    match environment {
        ApnsEnvironment::Production => "production",
        ApnsEnvironment::Sandbox => "sandbox",
    }
}

fn environment(word: &str) -> Result<ApnsEnvironment, Fault> {
    match word {
        "production" => Ok(ApnsEnvironment::Production),
        "sandbox" => Ok(ApnsEnvironment::Sandbox),
        other => Err(corrupt(format!("an APNs environment {other:?}"))),
    }
}

pub(super) fn platform(word: &str) -> Result<Platform, Fault> {
    Platform::parse(word).ok_or_else(|| corrupt(format!("a platform {word:?}")))
}

pub(super) fn interest(name: String) -> Result<InterestName, Fault> {
    InterestName::parse(name).map_err(|error| corrupt(format!("the name of an interest: {error}")))
}

pub(super) fn user(id: String) -> Result<UserId, Fault> {
    UserId::parse(id).map_err(|error| corrupt(format!("the id of a user: {error}")))
}

/// A place in a trace.
pub(super) fn trace(parent: Option<TraceParent>) -> Option<Vec<u8>> {
    parent.map(|parent| parent.to_bytes().to_vec())
}

pub(super) fn count(value: i64) -> Result<u64, Fault> {
    u64::try_from(value).map_err(|_| corrupt(format!("a count of {value}")))
}

/// A limit as SQL takes it.
pub(super) fn limit(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A count as SQL takes it.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// What tells a gateway token from others of its instance, in few bytes.
pub(super) fn digest(token: &GatewayToken) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(token.platform().as_str().as_bytes());
    context.update(b":");
    context.update(token.identity().as_bytes());
    context.finish().as_ref().to_vec()
}

/// The keys of a token that has some.
pub(super) fn keys(token: &GatewayToken) -> Option<Vec<u8>> {
    token.keys().map(|keys| keys.to_vec())
}

/// Reads `device, platform, identity, keys, bundle_id, environment, registered_at` from the column `first` on; `None`
/// where the platform is not wanted.
pub(super) fn recipient(
    row: &Row,
    first: usize,
    wanted: impl FnOnce(Platform) -> bool,
) -> Result<Option<Recipient>, Fault> {
    let platform = platform(row.at(first + 1)?)?;
    if !wanted(platform) {
        return Ok(None);
    }
    let device = DeviceOrdinal(row.at(first)?);
    let token = GatewayToken::from_parts(platform, row.at(first + 2)?, row.at(first + 3)?)
        .ok_or_else(|| corrupt(format!("the gateway token of device {}", device.0)))?;
    let bundle_id = row
        .at::<Option<&str>>(first + 4)?
        .map(BundleId::parse)
        .transpose()
        .map_err(|error| corrupt(format!("device {}: {error}", device.0)))?;
    Ok(Some(Recipient {
        device,
        token,
        bundle_id,
        environment: environment(row.at(first + 5)?)?,
        registered_at: Timestamp::from_millis(row.at(first + 6)?),
        user: None,
    }))
}

/// Passes over a device that does not read back, so that it does not stop all others.
pub(super) fn readable(read: Result<Option<Recipient>, Fault>) -> Result<Option<Recipient>, Fault> {
    match read {
        Err(Fault::Store(StoreError::Corrupt(why))) => {
            tracing::error!(error = %why, "a device is passed over");
            Ok(None)
        }
        read => read,
    }
}
