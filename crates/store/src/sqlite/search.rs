//! Searching through publishes.

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal};
use domain::instance::InstanceId;
use domain::publish::PublishId;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::{SqliteStore, columns, instances, lookup};
use crate::StoreError;
use crate::lookup::{PublishCursor, Waiting};
use crate::search::{
    CLOCKS_APART, FirstSince, FoundPublish, FoundPublishes, Kept, PublishLabel, Reach, Searching,
    Verdict, WantedPublishes,
};

#[async_trait]
impl Searching for SqliteStore {
    async fn search_publishes(
        &self,
        instance: InstanceId,
        wanted: WantedPublishes,
        after: Option<PublishCursor>,
        reach: Reach,
    ) -> Result<FoundPublishes, StoreError> {
        self.readers
            .run(move |c| search(c, instance, &wanted, after, reach))
            .await
    }

    async fn publish_label(
        &self,
        instance: InstanceId,
        id: PublishId,
    ) -> Result<Option<PublishLabel>, StoreError> {
        self.readers.run(move |c| label(c, instance, id)).await
    }

    async fn publish_waiting(
        &self,
        instance: InstanceId,
        id: PublishId,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Option<Vec<Waiting>>, StoreError> {
        self.readers
            .run(move |c| waiting(c, instance, id, after, limit))
            .await
    }
}

fn search(
    connection: &Connection,
    instance: InstanceId,
    wanted: &WantedPublishes,
    after: Option<PublishCursor>,
    reach: Reach,
) -> Result<FoundPublishes, StoreError> {
    let Some(instance) = instances::number(connection, instance)? else {
        return Ok(FoundPublishes::default());
    };
    let mut before = after.map_or(i64::MAX, |cursor| cursor.0);
    if let Some(until) = wanted.until {
        before = before.min(first_since(
            connection,
            instance,
            until.after(CLOCKS_APART),
        )?);
    }
    let most = columns::limit(reach.depth.saturating_add(1));
    let mut numbers: Vec<i64> = connection
        .prepare_cached(lookup::list_sql(wanted.state))?
        .query_map([instance, before, most], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let is_more = numbers.len() > reach.depth;
    numbers.truncate(reach.depth);
    let (quoted_interest, quoted_user) = wanted.quoted();
    let user = wanted.user.as_ref().map(|user| user.as_str());
    let mut look = connection.prepare_cached(LOOK)?;
    let mut found = FoundPublishes::default();
    for (place, number) in numbers.iter().enumerate() {
        let mut rows = look.query(params![number, quoted_interest, quoted_user, user])?;
        let Some(row) = rows.next()? else { continue };
        let kept = Kept {
            accepted_at: Timestamp::from_millis(row.get(0)?),
            names_them: row.get(1)?,
            interests: row.get_ref(2)?.as_str_or_null()?,
            payloads: row.get_ref(3)?.as_str_or_null()?,
        };
        let verdict = wanted.judge(&kept)?;
        if matches!(verdict, Verdict::Behind) {
            return Ok(found);
        }
        found.back_to = Some(kept.accepted_at);
        if let Verdict::Wanted(label) = verdict
            && let Some(report) = lookup::of_number(connection, *number)?
        {
            found.publishes.push(FoundPublish { report, label });
        }
        if found.publishes.len() >= reach.limit && (is_more || place + 1 < numbers.len()) {
            found.next = Some(PublishCursor(*number));
            return Ok(found);
        }
    }
    found.next = numbers
        .last()
        .filter(|_| is_more)
        .copied()
        .map(PublishCursor);
    Ok(found)
}

/// A publish, and whether it names whom it is wanted to. Those of a list of users, and those that wait for their time, have their
/// users elsewhere.
const LOOK: &str = "SELECT p.accepted_at,
        (?2 IS NULL OR coalesce(instr(y.interests, ?2), 0) > 0) AND
        (?3 IS NULL OR coalesce(instr(y.users, ?3), 0) > 0 OR (p.named = 'users' AND (
            EXISTS (SELECT 1 FROM scheduled s WHERE s.publish = p.publish AND instr(s.audience, ?3) > 0)
         OR EXISTS (SELECT 1 FROM lists l CROSS JOIN listed d WHERE l.publish = p.publish AND d.list = l.list AND d.user = ?4)))),
        y.interests, y.payloads
   FROM publishes p LEFT JOIN payloads y ON y.publish = p.publish WHERE p.publish = ?1";

fn label(
    connection: &Connection,
    instance: InstanceId,
    id: PublishId,
) -> Result<Option<PublishLabel>, StoreError> {
    let Some(number) = lookup::number(connection, instance, id)? else {
        return Ok(None);
    };
    let mut statement =
        connection.prepare_cached("SELECT payloads, interests FROM payloads WHERE publish = ?1")?;
    let mut rows = statement.query([number])?;
    match rows.next()? {
        Some(row) => {
            let interests = row.get_ref(1)?.as_str_or_null()?;
            PublishLabel::of(row.get_ref(0)?.as_str()?, interests).map(Some)
        }
        None => Ok(Some(PublishLabel::default())),
    }
}

/// What is left of a cancelled one does not wait.
fn waiting(
    connection: &Connection,
    instance: InstanceId,
    id: PublishId,
    after: DeviceOrdinal,
    limit: usize,
) -> Result<Option<Vec<Waiting>>, StoreError> {
    let Some(number) = lookup::number(connection, instance, id)? else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(
        "SELECT r.device, d.id, d.platform, u.id, r.attempts, r.due_at, r.reason
           FROM publishes p CROSS JOIN retries r ON r.publish = p.publish CROSS JOIN devices d ON d.device = r.device
                LEFT JOIN users u ON u.user_number = d.user_number
          WHERE p.publish = ?1 AND p.finished_at IS NULL AND r.device > ?2 ORDER BY r.device LIMIT ?3",
    )?;
    let mut rows = statement.query([number, after.0, columns::limit(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let platform = columns::platform(row.get_ref(2)?.as_str()?)?;
        let user: Option<String> = row.get(3)?;
        found.push(Waiting {
            ordinal: DeviceOrdinal(row.get(0)?),
            device: DeviceId::from_parts(platform, Uuid::from_bytes(row.get(1)?)),
            user: user.map(columns::user).transpose()?,
            attempts: row.get(4)?,
            due_at: Timestamp::from_millis(row.get(5)?),
            reason: row.get::<_, String>(6)?.into(),
        });
    }
    Ok(Some(found))
}

/// The number from which on all publishes of an instance were accepted at or after a point in time.
fn first_since(
    connection: &Connection,
    instance: i64,
    since: Timestamp,
) -> Result<i64, StoreError> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT max(publish) FROM publishes WHERE instance = ?1")?
        .query_row([instance], |row| row.get(0))?;
    let mut first = FirstSince::new(since, newest);
    let mut next = connection.prepare_cached(
        "SELECT publish, accepted_at FROM publishes WHERE instance = ?1 AND publish >= ?2 ORDER BY publish LIMIT 1",
    )?;
    while let Some(middle) = first.middle() {
        let found = next.query_row([instance, middle], |row| Ok((row.get(0)?, row.get(1)?)));
        first.narrow(middle, found.optional()?);
    }
    Ok(first.found())
}
