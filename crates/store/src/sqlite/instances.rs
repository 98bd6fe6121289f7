//! Instances, their secret keys and credentials. Few, so plain; every change moves the configuration version.

use std::collections::HashMap;

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::{InstanceId, InstanceName};
use domain::seal::Sealed;
use domain::webhook::WebhookEvent;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::{columns, webhooks};
use crate::StoreError;
use crate::instances::{
    BrokenCredential, CredentialRecord, CredentialVersion, InstanceRecord, NewCredential,
    NewInstance, NewSecretKey, SecretKeyId, SecretKeyRecord,
};

/// The number of an instance; `None` if there is none with this id (any more).
pub(super) fn number(connection: &Connection, id: InstanceId) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT instance FROM instances WHERE id = ?1 AND deleted = 0")?
        .query_row([id.as_uuid().as_bytes()], |row| row.get(0))
        .optional()?)
}

/// The same, where an unknown instance is an error.
pub(super) fn known(connection: &Connection, id: InstanceId) -> Result<i64, StoreError> {
    number(connection, id)?.ok_or(StoreError::UnknownInstance)
}

pub(super) fn configuration_version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection
        .prepare_cached("SELECT configuration_version FROM store WHERE only = 1")?
        .query_row([], |row| row.get(0))?)
}

/// Moves the configuration version on, and returns the new one.
fn changed(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection
        .prepare_cached(
            "UPDATE store SET configuration_version = configuration_version + 1 WHERE only = 1
             RETURNING configuration_version",
        )?
        .query_row([], |row| row.get(0))?)
}

pub(super) fn create(connection: &Connection, new: &NewInstance) -> Result<(), StoreError> {
    if number(connection, new.id)?.is_some() {
        return Err(StoreError::InstanceExists);
    }
    let instance: i64 = connection
        .prepare_cached(
            "INSERT INTO instances (id, name, vapid_public_key, vapid_private_key, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5) RETURNING instance",
        )?
        .query_row(
            params![
                new.id.as_uuid().as_bytes(),
                new.name.as_str(),
                new.vapid_public_key,
                new.vapid_private_key.as_bytes(),
                new.created_at.as_millis(),
            ],
            |row| row.get(0),
        )?;
    insert_secret_key(connection, instance, &new.secret_key)?;
    changed(connection)?;
    Ok(())
}

/// Makes an instance invisible; [`super::prune::purge_deleted`] removes what is left of it. Whether there was one.
pub(super) fn mark_deleted(connection: &Connection, id: InstanceId) -> Result<bool, StoreError> {
    let marked = connection
        .prepare_cached("UPDATE instances SET deleted = 1 WHERE id = ?1 AND deleted = 0")?
        .execute([id.as_uuid().as_bytes()])?;
    if marked == 0 {
        return Ok(false);
    }
    changed(connection)?;
    Ok(true)
}

/// Gives an instance another name. Whether there is such an instance.
pub(super) fn rename(
    connection: &Connection,
    id: InstanceId,
    name: &InstanceName,
) -> Result<bool, StoreError> {
    let renamed = connection
        .prepare_cached("UPDATE instances SET name = ?2 WHERE id = ?1 AND deleted = 0")?
        .execute(params![id.as_uuid().as_bytes(), name.as_str()])?;
    if renamed == 1 {
        changed(connection)?;
    }
    Ok(renamed == 1)
}

fn insert_secret_key(
    connection: &Connection,
    instance: i64,
    key: &NewSecretKey,
) -> Result<SecretKeyId, StoreError> {
    Ok(connection
        .prepare_cached(
            "INSERT INTO secret_keys (instance, sealed, hint, created_at) VALUES (?1, ?2, ?3, ?4)
             RETURNING secret_key",
        )?
        .query_row(
            params![
                instance,
                key.sealed.as_bytes(),
                key.hint,
                key.created_at.as_millis()
            ],
            |row| row.get(0).map(SecretKeyId),
        )?)
}

pub(super) fn add_secret_key(
    connection: &Connection,
    id: InstanceId,
    key: &NewSecretKey,
) -> Result<SecretKeyId, StoreError> {
    let key = insert_secret_key(connection, known(connection, id)?, key)?;
    changed(connection)?;
    Ok(key)
}

pub(super) fn revoke_secret_key(
    connection: &Connection,
    id: InstanceId,
    key: SecretKeyId,
) -> Result<bool, StoreError> {
    let Some(instance) = number(connection, id)? else {
        return Ok(false);
    };
    let revoked = connection
        .prepare_cached(
            "DELETE FROM secret_keys WHERE secret_key = ?1 AND instance = ?2
             AND EXISTS (SELECT 1 FROM secret_keys WHERE instance = ?2 AND secret_key <> ?1)",
        )?
        .execute([key.0, instance])?;
    if revoked == 0 {
        return Ok(false);
    }
    changed(connection)?;
    Ok(true)
}

pub(super) fn set_credential(
    connection: &Connection,
    id: InstanceId,
    new: &NewCredential,
) -> Result<(), StoreError> {
    let instance = known(connection, id)?;
    let version = changed(connection)?;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO credentials (instance, platform, sealed, summary, version, set_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            instance,
            new.platform.as_str(),
            new.sealed.as_bytes(),
            new.summary,
            version,
            new.set_at.as_millis(),
        ])?;
    Ok(())
}

pub(super) fn mark_credential(
    connection: &Connection,
    id: InstanceId,
    platform: Platform,
    version: CredentialVersion,
    broken: Option<&str>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(instance) = number(connection, id)? else {
        return Ok(false);
    };
    let marked = connection
        .prepare_cached(
            "UPDATE credentials SET broken_since = iif(?4 IS NULL, NULL, ?5), broken_reason = ?4
             WHERE instance = ?1 AND platform = ?2 AND version = ?3
               AND (broken_since IS NULL) <> (?4 IS NULL)",
        )?
        .execute(params![
            instance,
            platform.as_str(),
            version.0,
            broken,
            now.as_millis()
        ])?;
    if marked == 0 {
        return Ok(false);
    }
    if let Some(reason) = broken {
        let event = WebhookEvent::CredentialBroken {
            instance: id,
            platform,
            reason: reason.into(),
        };
        webhooks::raise(connection, instance, &event)?;
    }
    changed(connection)?;
    Ok(true)
}

pub(super) fn one(
    connection: &Connection,
    id: InstanceId,
) -> Result<Option<InstanceRecord>, StoreError> {
    match number(connection, id)? {
        Some(number) => Ok(load(connection, Some(number))?.pop()),
        None => Ok(None),
    }
}

pub(super) fn ids(connection: &Connection) -> Result<Vec<InstanceId>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id FROM instances WHERE deleted = 0")?;
    let rows = statement.query_map([], |row| {
        Ok(InstanceId::from_uuid(Uuid::from_bytes(row.get(0)?)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn all(connection: &Connection) -> Result<Vec<InstanceRecord>, StoreError> {
    load(connection, None)
}

/// One instance, or all.
fn load(connection: &Connection, only: Option<i64>) -> Result<Vec<InstanceRecord>, StoreError> {
    let mut keys = secret_keys(connection, only)?;
    let mut credentials = credentials(connection, only)?;
    let mut statement = connection.prepare_cached(
        "SELECT instance, id, name, vapid_public_key, vapid_private_key, created_at FROM instances
          WHERE deleted = 0 AND (?1 IS NULL OR instance = ?1) ORDER BY name, id",
    )?;
    let mut rows = statement.query([only])?;
    let mut instances = Vec::new();
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        let name = InstanceName::parse(row.get::<_, String>(2)?)
            .map_err(|error| StoreError::Corrupt(format!("the name of an instance: {error}")))?;
        instances.push(InstanceRecord {
            id: InstanceId::from_uuid(Uuid::from_bytes(row.get(1)?)),
            name,
            vapid_public_key: row.get(3)?,
            vapid_private_key: Sealed::from_bytes(row.get(4)?),
            secret_keys: keys.remove(&number).unwrap_or_default(),
            credentials: credentials.remove(&number).unwrap_or_default(),
            created_at: Timestamp::from_millis(row.get(5)?),
        });
    }
    Ok(instances)
}

fn secret_keys(
    connection: &Connection,
    only: Option<i64>,
) -> Result<HashMap<i64, Vec<SecretKeyRecord>>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT instance, secret_key, sealed, hint, created_at FROM secret_keys
          WHERE ?1 IS NULL OR instance = ?1 ORDER BY secret_key",
    )?;
    let mut rows = statement.query([only])?;
    let mut found: HashMap<i64, Vec<SecretKeyRecord>> = HashMap::new();
    while let Some(row) = rows.next()? {
        found.entry(row.get(0)?).or_default().push(SecretKeyRecord {
            id: SecretKeyId(row.get(1)?),
            sealed: Sealed::from_bytes(row.get(2)?),
            hint: row.get(3)?,
            created_at: Timestamp::from_millis(row.get(4)?),
        });
    }
    Ok(found)
}

fn credentials(
    connection: &Connection,
    only: Option<i64>,
) -> Result<HashMap<i64, Vec<CredentialRecord>>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT instance, platform, sealed, summary, version, set_at, broken_since, broken_reason FROM credentials
          WHERE ?1 IS NULL OR instance = ?1 ORDER BY instance, platform",
    )?;
    let mut rows = statement.query([only])?;
    let mut found: HashMap<i64, Vec<CredentialRecord>> = HashMap::new();
    while let Some(row) = rows.next()? {
        let since: Option<i64> = row.get(6)?;
        let reason: Option<String> = row.get(7)?;
        found
            .entry(row.get(0)?)
            .or_default()
            .push(CredentialRecord {
                platform: columns::platform(row.get_ref(1)?.as_str()?)?,
                sealed: Sealed::from_bytes(row.get(2)?),
                summary: row.get(3)?,
                version: CredentialVersion(row.get(4)?),
                set_at: Timestamp::from_millis(row.get(5)?),
                broken: since.zip(reason).map(|(since, reason)| BrokenCredential {
                    since: Timestamp::from_millis(since),
                    reason,
                }),
            });
    }
    Ok(found)
}

/// Writes something that means nothing, to see that writing works.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE store SET checks = checks + 1 WHERE only = 1")?
        .execute([])?;
    Ok(())
}
