//! Subscriptions: which device is subscribed to which interest. Names are interned, and forgotten with their last subscription.

use std::collections::BTreeMap;

use domain::clock::Timestamp;
use domain::device::DeviceId;
use domain::instance::InstanceId;
use domain::interest::InterestName;

use super::fault::{Fault, corrupt};
use super::session::{Columns as _, Session};
use super::{activity, columns, devices};
use crate::devices::{Changed, InterestPage};

/// An interest with fewer subscribers than this is held while it is looked whether it has any left: so many may unsubscribe at
/// the same moment without its name being left behind.
const FEW: i64 = 32;

/// The numbers of names that anybody is subscribed to.
pub(super) async fn numbers(
    session: &Session,
    instance: i64,
    names: &[&str],
) -> Result<Vec<i64>, Fault> {
    session
        .values(
            "SELECT interest FROM interests WHERE instance = $1 AND name = ANY($2) ORDER BY interest",
            &[&instance, &names],
        )
        .await
}

/// The numbers of names, made up for those that have none. None of them goes before the transaction ends.
pub(super) async fn intern(
    session: &Session,
    instance: i64,
    names: &[&str],
) -> Result<BTreeMap<String, i64>, Fault> {
    const HELD: &str = "SELECT name, interest FROM interests WHERE instance = $1 AND name = ANY($2)
                         ORDER BY interest FOR KEY SHARE";
    let mut found = BTreeMap::new();
    for row in session.rows(HELD, &[&instance, &names]).await? {
        found.insert(row.at(0)?, row.at(1)?);
    }
    let mut missing: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| !found.contains_key(*name))
        .collect();
    if missing.is_empty() {
        return Ok(found);
    }
    missing.sort_unstable();
    missing.dedup();
    let made = session
        .rows(
            "INSERT INTO interests (instance, name) SELECT $1, name FROM unnest($2::text[]) AS n(name)
             ON CONFLICT (instance, name) DO UPDATE SET name = excluded.name RETURNING name, interest",
            &[&instance, &missing],
        )
        .await?;
    for row in made {
        found.insert(row.at(0)?, row.at(1)?);
    }
    Ok(found)
}

/// Subscribes a device to names. To how many it was not subscribed before.
pub(super) async fn subscribe(
    session: &Session,
    instance: i64,
    device: i64,
    names: &[&str],
) -> Result<u64, Fault> {
    if names.is_empty() {
        return Ok(0);
    }
    let interests: Vec<i64> = intern(session, instance, names)
        .await?
        .into_values()
        .collect();
    session
        .execute(
            "INSERT INTO subscriptions (instance, interest, device) SELECT $1, interest, $3 FROM unnest($2::bigint[]) AS n(interest)
             ON CONFLICT DO NOTHING",
            &[&instance, &interests, &device],
        )
        .await
}

async fn unsubscribe(
    session: &Session,
    instance: i64,
    device: i64,
    interests: Vec<i64>,
) -> Result<(), Fault> {
    if interests.is_empty() {
        return Ok(());
    }
    session
        .execute(
            "DELETE FROM subscriptions WHERE instance = $1 AND device = $3 AND interest = ANY($2)",
            &[&instance, &interests, &device],
        )
        .await?;
    forget(session, instance, interests).await
}

/// Forgets those of these interests that nobody is subscribed to any more.
pub(super) async fn forget(
    session: &Session,
    instance: i64,
    mut interests: Vec<i64>,
) -> Result<(), Fault> {
    interests.sort_unstable();
    interests.dedup();
    if interests.is_empty() {
        return Ok(());
    }
    // Those that many are subscribed to are not worth a lock that all of them would wait for.
    let few: Vec<i64> = session
        .values(
            "SELECT i.interest FROM unnest($2::bigint[]) AS n(interest) JOIN interests i ON i.instance = $1 AND i.interest = n.interest
              WHERE (SELECT count(*) FROM (SELECT 1 FROM subscriptions s
                      WHERE s.instance = $1 AND s.interest = n.interest LIMIT $3) AS counted) < $3
              ORDER BY i.interest FOR UPDATE OF i",
            &[&instance, &interests, &FEW],
        )
        .await?;
    if few.is_empty() {
        return Ok(());
    }
    session
        .execute(
            "DELETE FROM interests i WHERE i.instance = $1 AND i.interest = ANY($2) AND NOT EXISTS
                (SELECT 1 FROM subscriptions s WHERE s.instance = i.instance AND s.interest = i.interest)",
            &[&instance, &few],
        )
        .await?;
    Ok(())
}

/// A device's interests with their numbers.
async fn numbered(
    session: &Session,
    instance: i64,
    device: i64,
) -> Result<BTreeMap<InterestName, i64>, Fault> {
    let rows = session
        .rows(
            "SELECT i.name, i.interest FROM subscriptions s JOIN interests i ON i.instance = s.instance AND i.interest = s.interest
              WHERE s.instance = $1 AND s.device = $2",
            &[&instance, &device],
        )
        .await?;
    let mut found = BTreeMap::new();
    for row in &rows {
        found.insert(columns::interest(row.at(0)?)?, row.at(1)?);
    }
    Ok(found)
}

/// A device's interests, ascending.
pub(super) async fn of_device(
    session: &Session,
    instance: i64,
    device: i64,
) -> Result<Vec<InterestName>, Fault> {
    Ok(numbered(session, instance, device)
        .await?
        .into_keys()
        .collect())
}

/// A device has at most some thousand interests, so reading all of them for a page is bounded.
pub(super) async fn page(
    session: &Session,
    instance: InstanceId,
    id: DeviceId,
    after: Option<&InterestName>,
    limit: usize,
) -> Result<Option<InterestPage>, Fault> {
    let Some(found) = devices::find(session, instance, id).await? else {
        return Ok(None);
    };
    let mut rest = of_device(session, found.instance, found.device)
        .await?
        .into_iter()
        .filter(|name| after.is_none_or(|after| name > after));
    let interests: Vec<InterestName> = rest.by_ref().take(limit).collect();
    Ok(Some(InterestPage {
        interests,
        more: rest.next().is_some(),
    }))
}

/// Writes only what differs, so that a device that says the same at every start costs no write but the first on a day.
pub(super) async fn set(
    session: &Session,
    instance: InstanceId,
    id: DeviceId,
    wanted: &[InterestName],
    now: Timestamp,
) -> Result<Changed, Fault> {
    let Some(found) = devices::find_to_change(session, instance, id).await? else {
        return Ok(Changed::UnknownDevice);
    };
    activity::touch(session, found.instance, found.device, found.active, now).await?;
    let mut surplus = numbered(session, found.instance, found.device).await?;
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|name| surplus.remove(*name).is_none())
        .map(InterestName::as_str)
        .collect();
    let surplus = surplus.into_values().collect();
    subscribe(session, found.instance, found.device, &missing).await?;
    unsubscribe(session, found.instance, found.device, surplus).await?;
    Ok(Changed::Done)
}

pub(super) async fn add(
    session: &Session,
    instance: InstanceId,
    id: DeviceId,
    name: &InterestName,
    interests_max: usize,
    now: Timestamp,
) -> Result<Changed, Fault> {
    let Some(found) = devices::find_to_change(session, instance, id).await? else {
        return Ok(Changed::UnknownDevice);
    };
    activity::touch(session, found.instance, found.device, found.active, now).await?;
    let row = session
        .row(
            "SELECT count(*), coalesce(bool_or(i.name = $3), false)
               FROM subscriptions s JOIN interests i ON i.instance = s.instance AND i.interest = s.interest
              WHERE s.instance = $1 AND s.device = $2",
            &[&found.instance, &found.device, &name.as_str()],
        )
        .await?;
    let row = row.ok_or_else(|| corrupt("a count without an answer"))?;
    if row.at(1)? {
        return Ok(Changed::Done);
    }
    if row.at::<i64>(0)? >= columns::limit(interests_max) {
        return Ok(Changed::TooManyInterests);
    }
    subscribe(session, found.instance, found.device, &[name.as_str()]).await?;
    Ok(Changed::Done)
}

pub(super) async fn remove(
    session: &Session,
    instance: InstanceId,
    id: DeviceId,
    name: &InterestName,
    now: Timestamp,
) -> Result<Changed, Fault> {
    let Some(found) = devices::find_to_change(session, instance, id).await? else {
        return Ok(Changed::UnknownDevice);
    };
    activity::touch(session, found.instance, found.device, found.active, now).await?;
    let interests = numbers(session, found.instance, &[name.as_str()]).await?;
    unsubscribe(session, found.instance, found.device, interests).await?;
    Ok(Changed::Done)
}
