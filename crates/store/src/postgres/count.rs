//! How many devices an audience has now: counted in pieces, so that no connection is held for long.

use domain::device::{DeviceOrdinal, Platform};
use domain::instance::InstanceId;
use domain::publish::Audience;

use super::audience::{Merge, Window};
use super::fault::Fault;
use super::session::{Columns as _, Session};
use super::{columns, instances, publishes};
use crate::lookup::AudienceCount;
use crate::publishes::ResolvedAudience;

/// How many devices a piece counts at most.
pub(super) const PIECE: usize = 10_000;

/// The audience in this store's numbers, behind that of the instance; `None` where there is no such instance.
pub(super) async fn resolve(
    session: &Session,
    instance: InstanceId,
    audience: &Audience,
) -> Result<Option<(i64, ResolvedAudience)>, Fault> {
    let Some(instance) = instances::number(session, instance).await? else {
        return Ok(None);
    };
    let (resolved, _) = publishes::resolve(session, instance, audience).await?;
    Ok(Some((instance, resolved)))
}

/// Counts users' devices by user, in the index alone: a user has at most some hundreds.
pub(super) async fn users(
    session: &Session,
    instance: i64,
    numbers: &[i64],
    platforms: &[Platform],
) -> Result<AudienceCount, Fault> {
    let words: Vec<&str> = platforms.iter().map(|platform| platform.as_str()).collect();
    let rows = session
        .rows(
            "SELECT d.platform, count(*), count(DISTINCT d.user_number) FROM unnest($2::bigint[]) AS n(number)
               JOIN devices d ON d.instance = $1 AND d.user_number = n.number
              WHERE d.platform = ANY($3) GROUP BY GROUPING SETS ((d.platform), ())",
            &[&instance, &numbers, &words],
        )
        .await?;
    let mut count = AudienceCount::default();
    for row in &rows {
        match row.at::<Option<&str>>(0)? {
            Some(word) => count.add(columns::platform(word)?, columns::count(row.at(1)?)?),
            None => count.users = columns::count(row.at(2)?)?,
        }
    }
    Ok(count)
}

/// Counts at most `most` of an audience's devices behind `after`, by platform. Up to which; `None` at the end.
pub(super) async fn piece(
    session: &Session,
    instance: i64,
    audience: &ResolvedAudience,
    after: DeviceOrdinal,
    most: usize,
) -> Result<(Option<DeviceOrdinal>, Vec<(Platform, u64)>), Fault> {
    let window = Window {
        after,
        end: DeviceOrdinal(i64::MAX),
        limit: most,
    };
    let mut merge = Merge::new(session, instance, audience, window);
    let devices = merge.next(most).await?;
    let rows = session
        .rows(
            "SELECT platform, count(*) FROM devices WHERE instance = $1 AND device = ANY($2) GROUP BY platform",
            &[&instance, &devices],
        )
        .await?;
    let mut counted = Vec::with_capacity(rows.len());
    for row in &rows {
        counted.push((columns::platform(row.at(0)?)?, columns::count(row.at(1)?)?));
    }
    let last = devices.last().copied().map(DeviceOrdinal);
    Ok((last.filter(|_| !merge.is_over()), counted))
}
