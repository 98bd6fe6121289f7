//! Searching through publishes.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal};
use domain::instance::InstanceId;
use domain::publish::PublishId;

use super::fault::Fault;
use super::session::{Columns as _, Session};
use super::{PostgresStore, columns, instances, lookup};
use crate::StoreError;
use crate::lookup::{PublishCursor, Waiting};
use crate::search::{
    CLOCKS_APART, FirstSince, FoundPublish, FoundPublishes, Kept, PublishLabel, Reach, Searching,
    Verdict, WantedPublishes,
};

/// How many publishes are read at once: what they carry has some kilobytes each.
const PIECE: usize = 100;

#[async_trait]
impl Searching for PostgresStore {
    async fn search_publishes(
        &self,
        instance: InstanceId,
        wanted: WantedPublishes,
        after: Option<PublishCursor>,
        reach: Reach,
    ) -> Result<FoundPublishes, StoreError> {
        self.sessions
            .snapshot(
                (instance, wanted, after, reach),
                |s, (instance, wanted, after, reach)| {
                    Box::pin(search(s, *instance, wanted, *after, *reach))
                },
            )
            .await
    }

    async fn publish_label(
        &self,
        instance: InstanceId,
        id: PublishId,
    ) -> Result<Option<PublishLabel>, StoreError> {
        self.sessions
            .snapshot((instance, id), |s, (instance, id)| {
                Box::pin(label(s, *instance, *id))
            })
            .await
    }

    async fn publish_waiting(
        &self,
        instance: InstanceId,
        id: PublishId,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Option<Vec<Waiting>>, StoreError> {
        self.sessions
            .snapshot(
                (instance, id, after, limit),
                |s, (instance, id, after, limit)| {
                    Box::pin(waiting(s, *instance, *id, *after, *limit))
                },
            )
            .await
    }
}

async fn search(
    session: &Session,
    instance: InstanceId,
    wanted: &WantedPublishes,
    after: Option<PublishCursor>,
    reach: Reach,
) -> Result<FoundPublishes, Fault> {
    let Some(instance) = instances::number(session, instance).await? else {
        return Ok(FoundPublishes::default());
    };
    let mut before = after.map_or(i64::MAX, |cursor| cursor.0);
    if let Some(until) = wanted.until {
        let first = first_since(session, instance, until.after(CLOCKS_APART)).await?;
        before = before.min(first);
    }
    let most = columns::limit(reach.depth.saturating_add(1));
    let mut numbers: Vec<i64> = session
        .values(lookup::list_sql(wanted.state), &[&instance, &before, &most])
        .await?;
    let is_more = numbers.len() > reach.depth;
    numbers.truncate(reach.depth);
    let mut looked = Looked::default();
    for piece in numbers.chunks(PIECE) {
        look(session, instance, piece, wanted, reach, &mut looked).await?;
        if looked.is_done {
            break;
        }
    }
    let last = looked.found.last().map(|(number, _)| *number);
    let is_full = looked.found.len() >= reach.limit && last.is_some();
    let next = match (is_full, looked.is_done) {
        (true, _) => last.filter(|last| is_more || numbers.last() != Some(last)),
        (false, true) => None,
        (false, false) => numbers.last().copied().filter(|_| is_more),
    };
    Ok(FoundPublishes {
        publishes: reported(session, instance, looked.found).await?,
        next: next.map(PublishCursor),
        back_to: looked.back_to,
    })
}

/// What was come upon, by number.
#[derive(Debug, Default)]
struct Looked {
    found: Vec<(i64, PublishLabel)>,
    back_to: Option<Timestamp>,
    /// Whether nothing more is wanted.
    is_done: bool,
}

/// Publishes, and whether they name whom they are wanted to. Those of a list of users, and those that wait for their time, have
/// their users elsewhere. What is not wanted is not read.
pub(super) const LOOK: &str = "SELECT f.publish, f.accepted_at, f.fits, CASE WHEN f.fits THEN y.interests END,
        CASE WHEN f.fits THEN y.payloads END
   FROM (SELECT p.instance, p.publish, p.accepted_at,
                ($3::text IS NULL OR coalesce(strpos(c.interests, $3), 0) > 0) AND
                ($4::text IS NULL OR coalesce(strpos(c.users, $4), 0) > 0 OR (p.named = 'users' AND (
                    EXISTS (SELECT 1 FROM scheduled s
                             WHERE s.instance = p.instance AND s.publish = p.publish AND strpos(s.audience, $4) > 0)
                 OR EXISTS (SELECT 1 FROM lists l JOIN listed d ON d.list = l.list
                             WHERE l.publish = p.publish AND d.user_id = $5)))) AS fits
           FROM publishes p LEFT JOIN payloads c ON c.instance = p.instance AND c.publish = p.publish
          WHERE p.instance = $1 AND p.publish = ANY($2)) AS f
   LEFT JOIN payloads y ON y.instance = f.instance AND y.publish = f.publish";

/// Looks at some publishes, the newest first.
async fn look(
    session: &Session,
    instance: i64,
    numbers: &[i64],
    wanted: &WantedPublishes,
    reach: Reach,
    looked: &mut Looked,
) -> Result<(), Fault> {
    let (quoted_interest, quoted_user) = wanted.quoted();
    let user = wanted.user.as_ref().map(|user| user.as_str());
    let rows = session
        .rows(
            LOOK,
            &[&instance, &numbers, &quoted_interest, &quoted_user, &user],
        )
        .await?;
    let mut by_number = HashMap::with_capacity(rows.len());
    for row in &rows {
        by_number.insert(row.at::<i64>(0)?, row);
    }
    for number in numbers {
        let Some(row) = by_number.get(number) else {
            continue;
        };
        let kept = Kept {
            accepted_at: Timestamp::from_millis(row.at(1)?),
            names_them: row.at(2)?,
            interests: row.at(3)?,
            payloads: row.at(4)?,
        };
        let verdict = wanted.judge(&kept)?;
        if matches!(verdict, Verdict::Behind) {
            looked.is_done = true;
            return Ok(());
        }
        looked.back_to = Some(kept.accepted_at);
        if let Verdict::Wanted(label) = verdict {
            looked.found.push((*number, label));
        }
        if looked.found.len() >= reach.limit {
            looked.is_done = true;
            return Ok(());
        }
    }
    Ok(())
}

async fn reported(
    session: &Session,
    instance: i64,
    found: Vec<(i64, PublishLabel)>,
) -> Result<Vec<FoundPublish>, Fault> {
    let numbers: Vec<i64> = found.iter().map(|(number, _)| *number).collect();
    // In one snapshot: each number has its report.
    let reports = lookup::reports(session, instance, &numbers).await?;
    let both = found.into_iter().zip(reports);
    Ok(both
        .map(|((_, label), report)| FoundPublish { report, label })
        .collect())
}

async fn label(
    session: &Session,
    instance: InstanceId,
    id: PublishId,
) -> Result<Option<PublishLabel>, Fault> {
    let Some((instance, number)) = lookup::number(session, instance, id).await? else {
        return Ok(None);
    };
    let row = session
        .row(
            "SELECT payloads, interests FROM payloads WHERE instance = $1 AND publish = $2",
            &[&instance, &number],
        )
        .await?;
    match row {
        Some(row) => Ok(Some(PublishLabel::of(row.at(0)?, row.at(1)?)?)),
        None => Ok(Some(PublishLabel::default())),
    }
}

pub(super) const WAITING: &str = "SELECT r.device, d.id, d.platform, u.id, r.attempts, r.due_at, r.reason
   FROM publishes p JOIN retries r ON r.publish = p.publish
        JOIN devices d ON d.instance = r.instance AND d.device = r.device
        LEFT JOIN users u ON u.instance = d.instance AND u.user_number = d.user_number
  WHERE p.instance = $1 AND p.publish = $2 AND p.finished_at IS NULL AND r.publish = $2 AND r.device > $3
  ORDER BY r.device LIMIT $4";

/// What is left of a cancelled one does not wait.
async fn waiting(
    session: &Session,
    instance: InstanceId,
    id: PublishId,
    after: DeviceOrdinal,
    limit: usize,
) -> Result<Option<Vec<Waiting>>, Fault> {
    let Some((instance, number)) = lookup::number(session, instance, id).await? else {
        return Ok(None);
    };
    let rows = session
        .rows(
            WAITING,
            &[&instance, &number, &after.0, &columns::limit(limit)],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let platform = columns::platform(row.at(2)?)?;
        let user: Option<String> = row.at(3)?;
        found.push(Waiting {
            ordinal: DeviceOrdinal(row.at(0)?),
            device: DeviceId::from_parts(platform, row.at(1)?),
            user: user.map(columns::user).transpose()?,
            attempts: u32::try_from(row.at::<i64>(4)?).unwrap_or(u32::MAX),
            due_at: Timestamp::from_millis(row.at(5)?),
            reason: row.at::<String>(6)?.into(),
        });
    }
    Ok(Some(found))
}

/// The number from which on all publishes of an instance were accepted at or after a point in time.
async fn first_since(session: &Session, instance: i64, since: Timestamp) -> Result<i64, Fault> {
    let newest: Option<i64> = session
        .value(
            "SELECT publish FROM publishes WHERE instance = $1 ORDER BY publish DESC LIMIT 1",
            &[&instance],
        )
        .await?;
    let mut first = FirstSince::new(since, newest);
    while let Some(middle) = first.middle() {
        let row = session
            .row(
                "SELECT publish, accepted_at FROM publishes
                  WHERE instance = $1 AND publish >= $2 ORDER BY publish LIMIT 1",
                &[&instance, &middle],
            )
            .await?;
        let next = row.map(|row| Ok::<_, Fault>((row.at(0)?, row.at(1)?)));
        first.narrow(middle, next.transpose()?);
    }
    Ok(first.found())
}
