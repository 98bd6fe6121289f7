//! Trails: appended in order, read by number, kept short.
//!
//! Who appends holds the instance's row of `console` until the end of the transaction, so that traces are seen in the order
//! of their numbers, whichever nodes write them, and nobody who reads on behind a number misses one.

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal};
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::publish::PublishId;
use domain::user::UserId;
use tokio_postgres::Row;

use super::fault::{Fault, corrupt};
use super::session::{Columns as _, Session};
use super::{PostgresStore, columns, instances};
use crate::StoreError;
use crate::console::{
    Addressee, Console, TRAIL_LENGTH_MAX, Trace, TraceKind, TraceNumber, Watched,
};

#[async_trait]
impl Console for PostgresStore {
    async fn watch_trail(&self, instance: InstanceId, until: Timestamp) -> Result<(), StoreError> {
        self.sessions
            .write((instance, until), |s, (instance, until)| {
                Box::pin(watch(s, *instance, *until))
            })
            .await
    }

    async fn watched_trails(&self, now: Timestamp) -> Result<Vec<Watched>, StoreError> {
        self.sessions
            .read(now, |s, now| Box::pin(watched(s, *now)))
            .await
    }

    async fn show_payloads(&self, instance: InstanceId, shows: bool) -> Result<(), StoreError> {
        self.sessions
            .write((instance, shows), |s, (instance, shows)| {
                Box::pin(show(s, *instance, *shows))
            })
            .await
    }

    async fn shows_payloads(&self, instance: InstanceId) -> Result<bool, StoreError> {
        self.sessions
            .read(instance, |s, instance| Box::pin(shows(s, *instance)))
            .await
    }

    async fn append_trail(
        &self,
        instance: InstanceId,
        traces: Vec<Trace>,
    ) -> Result<(), StoreError> {
        self.sessions
            .write((instance, traces), |s, (instance, traces)| {
                Box::pin(append(s, *instance, traces))
            })
            .await
    }

    async fn trail(
        &self,
        instance: InstanceId,
        after: Option<TraceNumber>,
        limit: usize,
    ) -> Result<Vec<(TraceNumber, Trace)>, StoreError> {
        self.sessions
            .read((instance, after, limit), |s, (instance, after, limit)| {
                Box::pin(read(s, *instance, *after, *limit))
            })
            .await
    }

    async fn addressees(
        &self,
        instance: InstanceId,
        devices: Vec<DeviceOrdinal>,
    ) -> Result<Vec<Addressee>, StoreError> {
        self.sessions
            .read((instance, devices), |s, (instance, devices)| {
                Box::pin(addressees(s, *instance, devices))
            })
            .await
    }

    async fn prune_trails(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.sessions
            .write((before, limit), |s, (before, limit)| {
                Box::pin(prune(s, *before, *limit))
            })
            .await
    }
}

async fn watch(session: &Session, instance: InstanceId, until: Timestamp) -> Result<(), Fault> {
    let instance = instances::known(session, instance).await?;
    session
        .execute(
            "INSERT INTO console (instance, watched_until) VALUES ($1, $2)
             ON CONFLICT (instance) DO UPDATE SET watched_until = greatest(console.watched_until, excluded.watched_until)",
            &[&instance, &until.as_millis()],
        )
        .await?;
    Ok(())
}

async fn watched(session: &Session, now: Timestamp) -> Result<Vec<Watched>, Fault> {
    let rows = session
        .rows(
            "SELECT i.id, c.shows_payloads FROM console c JOIN instances i ON i.instance = c.instance
              WHERE c.watched_until > $1 AND i.deleted_by IS NULL ORDER BY c.instance",
            &[&now.as_millis()],
        )
        .await?;
    let watched = |row: &Row| {
        Ok(Watched {
            instance: InstanceId::from_uuid(row.at(0)?),
            shows_payloads: row.at(1)?,
        })
    };
    rows.iter().map(watched).collect()
}

async fn show(session: &Session, instance: InstanceId, shows: bool) -> Result<(), Fault> {
    let instance = instances::known(session, instance).await?;
    session
        .execute(
            "INSERT INTO console (instance, shows_payloads) VALUES ($1, $2)
             ON CONFLICT (instance) DO UPDATE SET shows_payloads = excluded.shows_payloads",
            &[&instance, &shows],
        )
        .await?;
    Ok(())
}

async fn shows(session: &Session, instance: InstanceId) -> Result<bool, Fault> {
    let Some(instance) = instances::number(session, instance).await? else {
        return Ok(false);
    };
    let shows = session
        .value(
            "SELECT shows_payloads FROM console WHERE instance = $1",
            &[&instance],
        )
        .await?;
    Ok(shows.unwrap_or(false))
}

async fn append(session: &Session, id: InstanceId, traces: &[Trace]) -> Result<(), Fault> {
    let Some(instance) = instances::number(session, id).await? else {
        return Ok(());
    };
    session
        .execute(
            "INSERT INTO console (instance) VALUES ($1)
             ON CONFLICT (instance) DO UPDATE SET watched_until = console.watched_until",
            &[&instance],
        )
        .await?;
    let at: Vec<i64> = traces.iter().map(|trace| trace.at.as_millis()).collect();
    let kinds: Vec<&str> = traces.iter().map(|trace| trace.kind.as_str()).collect();
    let text = |of: fn(&Trace) -> Option<String>| traces.iter().map(of).collect::<Vec<_>>();
    let devices = text(|trace| trace.device.map(|device| device.to_string()));
    let users = text(|trace| trace.user.as_ref().map(|user| user.as_str().to_owned()));
    let publishes = text(|trace| trace.publish.map(|publish| publish.to_string()));
    let interests = text(|trace| {
        let names: Vec<&str> = trace.interests.iter().map(InterestName::as_str).collect();
        Some(names.join("\n"))
    });
    let details: Vec<&str> = traces.iter().map(|trace| trace.detail.as_str()).collect();
    session
        .execute(
            "INSERT INTO trail (instance, at, kind, device, user_id, publish, interests, detail)
             SELECT $1, at, kind, device, user_id, publish, interests, detail
               FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
                    WITH ORDINALITY AS t (at, kind, device, user_id, publish, interests, detail, place)
              ORDER BY place",
            &[
                &instance, &at, &kinds, &devices, &users, &publishes, &interests, &details,
            ],
        )
        .await?;
    session
        .execute(
            "DELETE FROM trail WHERE instance = $1 AND trace <= (
                 SELECT trace FROM trail WHERE instance = $1 ORDER BY trace DESC LIMIT 1 OFFSET $2)",
            &[&instance, &columns::limit(TRAIL_LENGTH_MAX)],
        )
        .await?;
    Ok(())
}

async fn read(
    session: &Session,
    instance: InstanceId,
    after: Option<TraceNumber>,
    limit: usize,
) -> Result<Vec<(TraceNumber, Trace)>, Fault> {
    let Some(instance) = instances::number(session, instance).await? else {
        return Ok(Vec::new());
    };
    let sql = match after {
        Some(_) => {
            "SELECT trace, at, kind, device, user_id, publish, interests, detail
               FROM trail WHERE instance = $1 AND trace > $2 ORDER BY trace LIMIT $3"
        }
        None => {
            "SELECT trace, at, kind, device, user_id, publish, interests, detail
               FROM trail WHERE instance = $1 AND trace > $2 ORDER BY trace DESC LIMIT $3"
        }
    };
    let after_number = after.map_or(0, |after| after.0);
    let rows = session
        .rows(sql, &[&instance, &after_number, &columns::limit(limit)])
        .await?;
    let mut traces = rows.iter().map(trace).collect::<Result<Vec<_>, _>>()?;
    if after.is_none() {
        traces.reverse();
    }
    Ok(traces)
}

fn trace(row: &Row) -> Result<(TraceNumber, Trace), Fault> {
    let kind: &str = row.at(2)?;
    let interests: &str = row.at(6)?;
    let interests = interests
        .lines()
        .map(|name| columns::interest(name.to_owned()));
    let trace = Trace {
        at: Timestamp::from_millis(row.at(1)?),
        kind: TraceKind::parse(kind).ok_or_else(|| corrupt(format!("a trace {kind:?}")))?,
        device: row.at::<Option<&str>>(3)?.and_then(DeviceId::parse),
        user: row
            .at::<Option<String>>(4)?
            .and_then(|user| UserId::parse(user).ok()),
        publish: row.at::<Option<&str>>(5)?.and_then(PublishId::parse),
        interests: interests.collect::<Result<_, _>>()?,
        detail: row.at(7)?,
    };
    Ok((TraceNumber(row.at(0)?), trace))
}

async fn addressees(
    session: &Session,
    instance: InstanceId,
    devices: &[DeviceOrdinal],
) -> Result<Vec<Addressee>, Fault> {
    let Some(instance) = instances::number(session, instance).await? else {
        return Ok(Vec::new());
    };
    let ordinals: Vec<i64> = devices.iter().map(|device| device.0).collect();
    let rows = session
        .rows(
            "SELECT d.device, d.platform, d.id, u.id
               FROM devices d LEFT JOIN users u ON u.instance = d.instance AND u.user_number = d.user_number
              WHERE d.instance = $1 AND d.device = ANY($2)",
            &[&instance, &ordinals],
        )
        .await?;
    let addressee = |row: &Row| {
        let user: Option<String> = row.at(3)?;
        Ok(Addressee {
            ordinal: DeviceOrdinal(row.at(0)?),
            device: DeviceId::from_parts(columns::platform(row.at(1)?)?, row.at(2)?),
            user: user.map(columns::user).transpose()?,
        })
    };
    rows.iter().map(addressee).collect()
}

async fn prune(session: &Session, before: Timestamp, limit: usize) -> Result<u64, Fault> {
    session
        .execute(
            "DELETE FROM trail WHERE (instance, trace) IN (SELECT instance, trace FROM trail WHERE at < $1 LIMIT $2)",
            &[&before.as_millis(), &columns::limit(limit)],
        )
        .await
}

/// Removes the lines that name a user, or one of the user's devices.
pub(super) async fn forget_user(
    session: &Session,
    instance: i64,
    user: &UserId,
    devices: &[DeviceId],
) -> Result<(), Fault> {
    let devices: Vec<String> = devices.iter().map(DeviceId::to_string).collect();
    session
        .execute(
            "DELETE FROM trail WHERE instance = $1 AND (user_id = $2 OR device = ANY($3))",
            &[&instance, &user.as_str(), &devices],
        )
        .await?;
    Ok(())
}
