//! Instances, their secret keys and credentials. Few, so plain; every change moves the configuration version.

use std::collections::HashMap;

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::{InstanceId, InstanceName};
use domain::seal::Sealed;
use domain::webhook::WebhookEvent;

use super::fault::{Fault, corrupt};
use super::session::{Columns as _, Session};
use super::{columns, webhooks};
use crate::StoreError;
use crate::instances::{
    BrokenCredential, CredentialRecord, CredentialVersion, InstanceRecord, NewCredential,
    NewInstance, NewSecretKey, SecretKeyId, SecretKeyRecord,
};

/// The number of an instance; `None` if there is none with this id (any more).
pub(super) async fn number(session: &Session, id: InstanceId) -> Result<Option<i64>, Fault> {
    session
        .value(
            "SELECT instance FROM instances WHERE id = $1 AND deleted_by IS NULL",
            &[id.as_uuid()],
        )
        .await
}

/// The same, where an unknown instance is an error.
pub(super) async fn known(session: &Session, id: InstanceId) -> Result<i64, Fault> {
    let found = number(session, id).await?;
    found.ok_or(Fault::Store(StoreError::UnknownInstance))
}

pub(super) async fn configuration_version(session: &Session) -> Result<i64, Fault> {
    session
        .known("SELECT configuration_version FROM store", &[])
        .await
}

/// Moves the configuration version on, and returns the new one. Nodes that listen are told when the transaction is
/// committed; to notify is dear where many transactions do, and these are few.
async fn changed(session: &Session) -> Result<i64, Fault> {
    session
        .known(
            "WITH changed AS (UPDATE store SET configuration_version = configuration_version + 1 RETURNING configuration_version)
             SELECT configuration_version, pg_notify('heliostat_configuration', '') FROM changed",
            &[],
        )
        .await
}

pub(super) async fn create(session: &Session, new: &NewInstance) -> Result<(), Fault> {
    let instance: Option<i64> = session
        .value(
            "INSERT INTO instances (id, name, vapid_public_key, vapid_private_key, created_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (id) WHERE deleted_by IS NULL DO NOTHING RETURNING instance",
            &[
                new.id.as_uuid(),
                &new.name.as_str(),
                &new.vapid_public_key,
                &new.vapid_private_key.as_bytes(),
                &new.created_at.as_millis(),
            ],
        )
        .await?;
    let instance = instance.ok_or(StoreError::InstanceExists)?;
    insert_secret_key(session, instance, &new.secret_key).await?;
    changed(session).await?;
    Ok(())
}

/// Makes an instance invisible; [`super::prune::purge_deleted`] removes what is left of it. Whether there was one.
pub(super) async fn mark_deleted(session: &Session, id: InstanceId) -> Result<bool, Fault> {
    let marked = session
        .execute(
            "UPDATE instances SET deleted_by = pg_current_xact_id() WHERE id = $1 AND deleted_by IS NULL",
            &[id.as_uuid()],
        )
        .await?;
    if marked == 0 {
        return Ok(false);
    }
    changed(session).await?;
    Ok(true)
}

/// Gives an instance another name. Whether there is such an instance.
pub(super) async fn rename(
    session: &Session,
    id: InstanceId,
    name: &InstanceName,
) -> Result<bool, Fault> {
    let renamed = session
        .execute(
            "UPDATE instances SET name = $2 WHERE id = $1 AND deleted_by IS NULL",
            &[id.as_uuid(), &name.as_str()],
        )
        .await?;
    if renamed == 1 {
        changed(session).await?;
    }
    Ok(renamed == 1)
}

async fn insert_secret_key(
    session: &Session,
    instance: i64,
    key: &NewSecretKey,
) -> Result<SecretKeyId, Fault> {
    session
        .known(
            "INSERT INTO secret_keys (instance, sealed, hint, created_at) VALUES ($1, $2, $3, $4) RETURNING secret_key",
            &[&instance, &key.sealed.as_bytes(), &key.hint, &key.created_at.as_millis()],
        )
        .await
        .map(SecretKeyId)
}

pub(super) async fn add_secret_key(
    session: &Session,
    id: InstanceId,
    key: &NewSecretKey,
) -> Result<SecretKeyId, Fault> {
    let instance = known(session, id).await?;
    let key = insert_secret_key(session, instance, key).await?;
    changed(session).await?;
    Ok(key)
}

pub(super) async fn revoke_secret_key(
    session: &Session,
    id: InstanceId,
    key: SecretKeyId,
) -> Result<bool, Fault> {
    // Locked, so that of two who revoke the last two, one sees that only one is left.
    let instance: Option<i64> = session
        .value(
            "SELECT instance FROM instances WHERE id = $1 AND deleted_by IS NULL FOR UPDATE",
            &[id.as_uuid()],
        )
        .await?;
    let Some(instance) = instance else {
        return Ok(false);
    };
    let revoked = session
        .execute(
            "DELETE FROM secret_keys WHERE instance = $1 AND secret_key = $2
             AND EXISTS (SELECT 1 FROM secret_keys WHERE instance = $1 AND secret_key <> $2)",
            &[&instance, &key.0],
        )
        .await?;
    if revoked == 0 {
        return Ok(false);
    }
    changed(session).await?;
    Ok(true)
}

pub(super) async fn set_credential(
    session: &Session,
    id: InstanceId,
    new: &NewCredential,
) -> Result<(), Fault> {
    let instance = known(session, id).await?;
    let version = changed(session).await?;
    session
        .execute(
            "INSERT INTO credentials (instance, platform, sealed, summary, version, set_at) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (instance, platform) DO UPDATE SET sealed = excluded.sealed, summary = excluded.summary,
                version = excluded.version, set_at = excluded.set_at, broken_since = NULL, broken_reason = NULL",
            &[
                &instance,
                &new.platform.as_str(),
                &new.sealed.as_bytes(),
                &new.summary,
                &version,
                &new.set_at.as_millis(),
            ],
        )
        .await?;
    Ok(())
}

pub(super) async fn mark_credential(
    session: &Session,
    id: InstanceId,
    platform: Platform,
    version: CredentialVersion,
    broken: Option<&str>,
    now: Timestamp,
) -> Result<bool, Fault> {
    let Some(instance) = number(session, id).await? else {
        return Ok(false);
    };
    let since = broken.map(|_| now.as_millis());
    let marked = session
        .execute(
            "UPDATE credentials SET broken_since = $5, broken_reason = $4::text
              WHERE instance = $1 AND platform = $2 AND version = $3 AND (broken_since IS NULL) <> ($4::text IS NULL)",
            &[&instance, &platform.as_str(), &version.0, &broken, &since],
        )
        .await?;
    if marked == 0 {
        return Ok(false);
    }
    if let Some(reason) = broken {
        let event = WebhookEvent::CredentialBroken {
            instance: id,
            platform,
            reason: reason.into(),
        };
        webhooks::raise(session, instance, &event).await?;
    }
    changed(session).await?;
    Ok(true)
}

pub(super) async fn one(
    session: &Session,
    id: InstanceId,
) -> Result<Option<InstanceRecord>, Fault> {
    match number(session, id).await? {
        Some(number) => Ok(load(session, Some(number)).await?.pop()),
        None => Ok(None),
    }
}

pub(super) async fn ids(session: &Session) -> Result<Vec<InstanceId>, Fault> {
    let rows = session
        .rows("SELECT id FROM instances WHERE deleted_by IS NULL", &[])
        .await?;
    rows.iter()
        .map(|row| Ok(InstanceId::from_uuid(row.at(0)?)))
        .collect()
}

pub(super) async fn all(session: &Session) -> Result<Vec<InstanceRecord>, Fault> {
    load(session, None).await
}

/// One instance, or all.
async fn load(session: &Session, only: Option<i64>) -> Result<Vec<InstanceRecord>, Fault> {
    let mut keys = secret_keys(session, only).await?;
    let mut credentials = credentials(session, only).await?;
    let rows = session
        .rows(
            "SELECT instance, id, name, vapid_public_key, vapid_private_key, created_at FROM instances
              WHERE deleted_by IS NULL AND ($1::bigint IS NULL OR instance = $1) ORDER BY name, id",
            &[&only],
        )
        .await?;
    let mut instances = Vec::with_capacity(rows.len());
    for row in &rows {
        let number: i64 = row.at(0)?;
        let name = InstanceName::parse(row.at::<String>(2)?)
            .map_err(|error| corrupt(format!("the name of an instance: {error}")))?;
        instances.push(InstanceRecord {
            id: InstanceId::from_uuid(row.at(1)?),
            name,
            vapid_public_key: row.at(3)?,
            vapid_private_key: Sealed::from_bytes(row.at(4)?),
            secret_keys: keys.remove(&number).unwrap_or_default(),
            credentials: credentials.remove(&number).unwrap_or_default(),
            created_at: Timestamp::from_millis(row.at(5)?),
        });
    }
    Ok(instances)
}

async fn secret_keys(
    session: &Session,
    only: Option<i64>,
) -> Result<HashMap<i64, Vec<SecretKeyRecord>>, Fault> {
    let rows = session
        .rows(
            "SELECT instance, secret_key, sealed, hint, created_at FROM secret_keys
              WHERE $1::bigint IS NULL OR instance = $1 ORDER BY secret_key",
            &[&only],
        )
        .await?;
    let mut found: HashMap<i64, Vec<SecretKeyRecord>> = HashMap::new();
    for row in &rows {
        found.entry(row.at(0)?).or_default().push(SecretKeyRecord {
            id: SecretKeyId(row.at(1)?),
            sealed: Sealed::from_bytes(row.at(2)?),
            hint: row.at(3)?,
            created_at: Timestamp::from_millis(row.at(4)?),
        });
    }
    Ok(found)
}

async fn credentials(
    session: &Session,
    only: Option<i64>,
) -> Result<HashMap<i64, Vec<CredentialRecord>>, Fault> {
    let rows = session
        .rows(
            "SELECT instance, platform, sealed, summary, version, set_at, broken_since, broken_reason FROM credentials
              WHERE $1::bigint IS NULL OR instance = $1 ORDER BY instance, platform",
            &[&only],
        )
        .await?;
    let mut found: HashMap<i64, Vec<CredentialRecord>> = HashMap::new();
    for row in &rows {
        let since: Option<i64> = row.at(6)?;
        let reason: Option<String> = row.at(7)?;
        found.entry(row.at(0)?).or_default().push(CredentialRecord {
            platform: columns::platform(row.at(1)?)?,
            sealed: Sealed::from_bytes(row.at(2)?),
            summary: row.at(3)?,
            version: CredentialVersion(row.at(4)?),
            set_at: Timestamp::from_millis(row.at(5)?),
            broken: since.zip(reason).map(|(since, reason)| BrokenCredential {
                since: Timestamp::from_millis(since),
                reason,
            }),
        });
    }
    Ok(found)
}

/// Writes something that means nothing, to see that writing works.
pub(super) async fn check(session: &Session) -> Result<(), Fault> {
    session
        .execute("UPDATE checks SET number = number + 1", &[])
        .await?;
    configuration_version(session).await?;
    Ok(())
}
