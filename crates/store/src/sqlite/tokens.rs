//! Admin tokens. Few, so plain.

use domain::admin_token::{AdminTokenDigest, AdminTokenName};
use domain::clock::Timestamp;
use rusqlite::{Connection, Row, params};

use super::{audit, columns};
use crate::StoreError;
use crate::administration::{
    ADMIN_TOKENS_MAX, AdminTokenId, AdminTokenRecord, AuditOutcome, NewAdminToken, NewAuditEntry,
};
use crate::stored::administration::{instances_of, scope_of};

const COLUMNS: &str = "token, digest, hint, name, instances, may, created_at, expires_at, used_at";

pub(super) fn add(
    connection: &Connection,
    new: &NewAdminToken,
    entry: &NewAuditEntry,
) -> Result<Option<AdminTokenId>, StoreError> {
    let there: i64 = connection
        .prepare_cached("SELECT count(*) FROM admin_tokens")?
        .query_row([], |row| row.get(0))?;
    if there >= columns::limit(ADMIN_TOKENS_MAX) {
        return Ok(None);
    }
    let id = connection
        .prepare_cached(
            "INSERT INTO admin_tokens (digest, hint, name, instances, may, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING token",
        )?
        .query_row(
            params![
                new.digest.as_bytes(),
                new.hint,
                new.name.as_str(),
                instances_of(&new.scope),
                new.scope.right.as_str(),
                new.created_at.as_millis(),
                new.expires_at.map(Timestamp::as_millis),
            ],
            |row| row.get(0).map(AdminTokenId),
        )?;
    audit::append(connection, entry, &AuditOutcome::Done)?;
    Ok(Some(id))
}

fn read(row: &Row<'_>) -> Result<AdminTokenRecord, StoreError> {
    let corrupt = |what: &str| StoreError::Corrupt(format!("the {what} of an admin token"));
    let time = |column| -> Result<Option<Timestamp>, StoreError> {
        Ok(row
            .get::<_, Option<i64>>(column)?
            .map(Timestamp::from_millis))
    };
    let instances: Option<String> = row.get(4)?;
    Ok(AdminTokenRecord {
        id: AdminTokenId(row.get(0)?),
        token: NewAdminToken {
            digest: AdminTokenDigest::from_stored(row.get_ref(1)?.as_blob()?)
                .ok_or_else(|| corrupt("digest"))?,
            hint: row.get(2)?,
            name: AdminTokenName::parse(row.get::<_, String>(3)?).map_err(|_| corrupt("name"))?,
            scope: scope_of(instances.as_deref(), row.get_ref(5)?.as_str()?)?,
            created_at: Timestamp::from_millis(row.get(6)?),
            expires_at: time(7)?,
        },
        used_at: time(8)?,
    })
}

pub(super) fn one(
    connection: &Connection,
    digest: AdminTokenDigest,
) -> Result<Option<AdminTokenRecord>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM admin_tokens WHERE digest = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([digest.as_bytes()])?;
    rows.next()?.map(read).transpose()
}

pub(super) fn all(connection: &Connection) -> Result<Vec<AdminTokenRecord>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM admin_tokens ORDER BY token");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

pub(super) fn revoke(
    connection: &Connection,
    id: AdminTokenId,
    entry: &NewAuditEntry,
) -> Result<bool, StoreError> {
    let revoked = connection
        .prepare_cached("DELETE FROM admin_tokens WHERE token = ?1")?
        .execute([id.0])?;
    if revoked == 1 {
        audit::append(connection, entry, &AuditOutcome::Done)?;
    }
    Ok(revoked == 1)
}

pub(super) fn touch(
    connection: &Connection,
    id: AdminTokenId,
    now: Timestamp,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE admin_tokens SET used_at = ?2 WHERE token = ?1 AND coalesce(used_at, 0) < ?2",
        )?
        .execute([id.0, now.as_millis()])?;
    Ok(())
}
