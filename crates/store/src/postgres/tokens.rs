//! Admin tokens. Few, so plain.

use domain::admin_token::{AdminTokenDigest, AdminTokenName};
use domain::clock::Timestamp;
use tokio_postgres::Row;

use super::fault::{Fault, corrupt};
use super::session::{Columns as _, Session};
use super::{audit, columns};
use crate::administration::{
    ADMIN_TOKENS_MAX, AdminTokenId, AdminTokenRecord, AuditOutcome, NewAdminToken, NewAuditEntry,
};
use crate::stored::administration::{instances_of, scope_of};

pub(super) async fn add(
    session: &Session,
    new: &NewAdminToken,
    entry: &NewAuditEntry,
) -> Result<Option<AdminTokenId>, Fault> {
    let id: Option<i64> = session
        .value(
            "INSERT INTO admin_tokens (digest, hint, name, instances, may, created_at, expires_at)
             SELECT $1, $2, $3, $4, $5, $6, $7 WHERE (SELECT count(*) FROM admin_tokens) < $8 RETURNING token",
            &[
                &new.digest.as_bytes(),
                &new.hint,
                &new.name.as_str(),
                &instances_of(&new.scope),
                &new.scope.right.as_str(),
                &new.created_at.as_millis(),
                &new.expires_at.map(Timestamp::as_millis),
                &columns::limit(ADMIN_TOKENS_MAX),
            ],
        )
        .await?;
    if id.is_some() {
        audit::append(session, entry, &AuditOutcome::Done).await?;
    }
    Ok(id.map(AdminTokenId))
}

fn read(row: &Row) -> Result<AdminTokenRecord, Fault> {
    let time = |column| -> Result<Option<Timestamp>, Fault> {
        Ok(row.at::<Option<i64>>(column)?.map(Timestamp::from_millis))
    };
    Ok(AdminTokenRecord {
        id: AdminTokenId(row.at(0)?),
        token: NewAdminToken {
            digest: AdminTokenDigest::from_stored(row.at(1)?)
                .ok_or_else(|| corrupt("the digest of an admin token"))?,
            hint: row.at(2)?,
            name: AdminTokenName::parse(row.at::<String>(3)?)
                .map_err(|_| corrupt("the name of an admin token"))?,
            scope: scope_of(row.at(4)?, row.at(5)?)?,
            created_at: Timestamp::from_millis(row.at(6)?),
            expires_at: time(7)?,
        },
        used_at: time(8)?,
    })
}

pub(super) async fn one(
    session: &Session,
    digest: AdminTokenDigest,
) -> Result<Option<AdminTokenRecord>, Fault> {
    let row = session
        .row(
            "SELECT token, digest, hint, name, instances, may, created_at, expires_at, used_at
               FROM admin_tokens WHERE digest = $1",
            &[&digest.as_bytes()],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn all(session: &Session) -> Result<Vec<AdminTokenRecord>, Fault> {
    let rows = session
        .rows(
            "SELECT token, digest, hint, name, instances, may, created_at, expires_at, used_at
               FROM admin_tokens ORDER BY token",
            &[],
        )
        .await?;
    rows.iter().map(read).collect()
}

pub(super) async fn revoke(
    session: &Session,
    id: AdminTokenId,
    entry: &NewAuditEntry,
) -> Result<bool, Fault> {
    let revoked = session
        .execute("DELETE FROM admin_tokens WHERE token = $1", &[&id.0])
        .await?;
    if revoked == 1 {
        audit::append(session, entry, &AuditOutcome::Done).await?;
    }
    Ok(revoked == 1)
}

pub(super) async fn touch(
    session: &Session,
    id: AdminTokenId,
    now: Timestamp,
) -> Result<(), Fault> {
    session
        .execute(
            "UPDATE admin_tokens SET used_at = $2 WHERE token = $1 AND coalesce(used_at, 0) < $2",
            &[&id.0, &now.as_millis()],
        )
        .await?;
    Ok(())
}
