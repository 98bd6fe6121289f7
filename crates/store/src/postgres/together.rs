//! Publishes that are accepted together: as many as come at a time in two round trips, whatever each of them names.
//!
//! Those that are scheduled, have a key, bring a webhook along, are for a list or want no page of their own go by themselves. An audience that is not
//! read whole on the way is looked at as for a publish alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Platform, Recipient};
use domain::interest::InterestName;
use domain::publish::Audience;
use domain::user::{UserId, UserOrdinal};
use uuid::Uuid;

use super::audience;
use super::columns;
use super::fault::{Fault, corrupt};
use super::jobs::{self, Claimed};
use super::publishes::{Created, FINISHED, Outcome, RUNNING};
use super::session::{Columns as _, Session};
use super::webhooks;
use crate::StoreError;
use crate::publishes::{NewPublish, Page, Plan, ResolvedAudience};
use crate::stored::{FORMAT, Texts, encode};

/// A publish to be accepted.
pub(super) type Request = (NewPublish, Texts, Plan);

/// Whether a publish may go with others.
pub(super) fn is_fit((new, texts, plan): &Request) -> bool {
    new.once.is_none()
        && new.webhook.is_none()
        && texts.scheduled.is_none()
        && plan.first_page_max > 0
        && !matches!(new.audience, Audience::List(_))
}

/// What each name stands for, with its first devices. Names that nobody is behind have a row too, and so tell of the instance.
pub(super) const INTERESTS: &str = "SELECT n.place, i.instance, t.interest, s.device,
        d.device, d.platform, d.identity, d.keys, d.bundle_id, d.environment, d.registered_at, d.user_number, n.name
    FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::bigint[]) AS n(place, id, name, most)
    JOIN instances i ON i.id = n.id AND i.deleted_by IS NULL
    LEFT JOIN interests t ON t.instance = i.instance AND t.name = n.name
    LEFT JOIN LATERAL (SELECT device FROM subscriptions
        WHERE instance = t.instance AND interest = t.interest ORDER BY device LIMIT n.most) AS s ON true
    LEFT JOIN devices d ON d.instance = i.instance AND d.device = s.device";
pub(super) const USERS: &str = "SELECT n.place, i.instance, t.user_number, d.device,
        d.device, d.platform, d.identity, d.keys, d.bundle_id, d.environment, d.registered_at, d.user_number, n.name
    FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::bigint[]) AS n(place, id, name, most)
    JOIN instances i ON i.id = n.id AND i.deleted_by IS NULL
    LEFT JOIN users t ON t.instance = i.instance AND t.id = n.name
    LEFT JOIN LATERAL (SELECT * FROM devices
        WHERE instance = t.instance AND user_number = t.user_number ORDER BY device LIMIT n.most) AS d ON true";
/// Numbers of publishes to come.
const NUMBERS: &str =
    "SELECT nextval(pg_get_serial_sequence('publishes', 'publish')) FROM generate_series(1, $1)";

/// What was found out of a publish's audience.
#[derive(Default)]
struct Found {
    instance: Option<i64>,
    /// The number of each name that somebody is behind.
    numbers: HashMap<String, i64>,
    /// The first devices of each, with what is to be delivered to.
    devices: BTreeMap<i64, Option<Recipient>>,
}

/// A publish as it is going to be written.
struct Draft<'a> {
    request: &'a Request,
    instance: i64,
    number: i64,
    audience: Arc<ResolvedAudience>,
    users: Option<String>,
    ranges: Vec<(i64, i64)>,
    first_page: Option<Page>,
}

/// Names to be looked up, by the place of their publish.
#[derive(Default)]
struct Names<'a> {
    places: Vec<i64>,
    instances: Vec<Uuid>,
    names: Vec<&'a str>,
    most: Vec<i64>,
}

impl<'a> Names<'a> {
    fn add(
        &mut self,
        place: usize,
        request: &'a Request,
        names: impl ExactSizeIterator<Item = &'a str>,
    ) {
        let most = match whole_max(request.2) {
            most if names.len() <= most => most + 1,
            _ => 0,
        };
        for name in names {
            self.places.push(columns::limit(place));
            self.instances.push(*request.0.publish.instance.as_uuid());
            self.names.push(name);
            self.most.push(columns::limit(most));
        }
    }

    async fn look_up(
        &self,
        session: &Session,
        sql: &str,
    ) -> Result<Vec<tokio_postgres::Row>, Fault> {
        if self.places.is_empty() {
            return Ok(Vec::new());
        }
        let (places, instances) = (&self.places, &self.instances);
        session
            .rows(sql, &[places, instances, &self.names, &self.most])
            .await
    }
}

/// How many devices an audience may have that is read whole.
fn whole_max(plan: Plan) -> usize {
    let span = usize::try_from(plan.job_span).unwrap_or(usize::MAX);
    plan.first_page_max.min(span)
}

/// Writes publishes and their jobs.
pub(super) async fn create(
    session: &Session,
    requests: &[Request],
) -> Result<Vec<Result<Outcome, StoreError>>, Fault> {
    let (mut interests, mut users) = (Names::default(), Names::default());
    for (place, request) in requests.iter().enumerate() {
        match &request.0.audience {
            Audience::Interests(names) => {
                interests.add(place, request, names.iter().map(InterestName::as_str));
            }
            Audience::Users(ids) => users.add(place, request, ids.iter().map(UserId::as_str)),
            Audience::List(_) => {}
        }
    }
    let wanted = i32::try_from(requests.len()).unwrap_or(i32::MAX);
    let wanted: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&wanted];
    let (of_interests, of_users, numbers) = futures_util::try_join!(
        interests.look_up(session, INTERESTS),
        users.look_up(session, USERS),
        session.values::<i64>(NUMBERS, &wanted),
    )?;
    let mut found: Vec<Found> = requests.iter().map(|_| Found::default()).collect();
    take_in(&of_interests, requests, &mut found)?;
    take_in(&of_users, requests, &mut found)?;
    let mut drafts = Vec::with_capacity(requests.len());
    for ((request, found), number) in requests.iter().zip(found).zip(numbers) {
        drafts.push(match found.instance {
            Some(instance) => Some(draft(session, request, found, instance, number).await?),
            None => None,
        });
    }
    let mut claimed = write(session, &drafts).await?;
    let for_nobody = drafts.iter().flatten().filter(|d| d.ranges.is_empty());
    let ended = for_nobody.map(|draft| (draft.instance, draft.number));
    webhooks::publishes_ended(session, ended.collect()).await?;
    let answer = |draft: Option<Draft<'_>>| {
        let draft = draft.ok_or(StoreError::UnknownInstance)?;
        Ok(Outcome::New(Created {
            number: draft.number,
            audience: draft.audience,
            jobs: claimed.remove(&draft.number).unwrap_or_default(),
            first_page: draft.first_page,
        }))
    };
    Ok(drafts.into_iter().map(answer).collect())
}

fn take_in(
    rows: &[tokio_postgres::Row],
    requests: &[Request],
    found: &mut [Found],
) -> Result<(), Fault> {
    for row in rows {
        let place = usize::try_from(row.at::<i64>(0)?).unwrap_or(usize::MAX);
        let (Some(found), Some(request)) = (found.get_mut(place), requests.get(place)) else {
            return Err(corrupt("a place that nothing was asked for"));
        };
        found.instance = Some(row.at(1)?);
        let Some(number) = row.at::<Option<i64>>(2)? else {
            continue;
        };
        found.numbers.insert(row.at(12)?, number);
        let Some(device) = row.at::<Option<i64>>(3)? else {
            continue;
        };
        // The device may be gone since its subscription was read.
        if row.at::<Option<i64>>(4)?.is_none() {
            found.devices.insert(device, None);
            continue;
        }
        let is_wanted = |platform: Platform| request.0.publish.payloads.has(platform);
        let mut recipient = columns::readable(columns::recipient(row, 4, is_wanted))?;
        if let (Audience::Users(_), Some(recipient)) = (&request.0.audience, &mut recipient) {
            recipient.user = row.at::<Option<i64>>(11)?.map(UserOrdinal);
        }
        found.devices.insert(device, recipient);
    }
    Ok(())
}

/// Decides what is written of a publish.
async fn draft<'a>(
    session: &Session,
    request: &'a Request,
    found: Found,
    instance: i64,
    number: i64,
) -> Result<Draft<'a>, Fault> {
    let (new, _, plan) = request;
    let mut numbers: Vec<i64> = found.numbers.values().copied().collect();
    numbers.sort_unstable();
    let (audience, users) = match &new.audience {
        Audience::Users(ids) => {
            let named: Vec<(&UserId, Option<i64>)> = ids
                .iter()
                .map(|id| (id, found.numbers.get(id.as_str()).copied()))
                .collect();
            let named = serde_json::to_string(&named)?;
            (ResolvedAudience::Users(numbers), Some(named))
        }
        _ => (ResolvedAudience::Interests(numbers), None),
    };
    let most = whole_max(*plan);
    let is_whole = new.audience.named() <= most && found.devices.len() <= most;
    let (mut ranges, mut first_page) = (Vec::new(), None);
    if !is_whole {
        ranges = audience::ranges(session, instance, &audience, *plan).await?;
    } else if let (Some(first), Some(last)) = (
        found.devices.keys().next().copied(),
        found.devices.keys().next_back().copied(),
    ) {
        ranges.push((first - 1, last));
        first_page = Some(Page {
            recipients: found.devices.into_values().flatten().collect(),
            cursor: DeviceOrdinal(last),
            last: true,
        });
    }
    Ok(Draft {
        request,
        instance,
        number,
        audience: Arc::new(audience),
        users,
        ranges,
        first_page,
    })
}

const PUBLISHES: &str =
    "INSERT INTO publishes (instance, publish, id, accepted_at, finished_at, state, expires_at, named, named_count)
    OVERRIDING SYSTEM VALUE SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[], $6::text[],
        $7::bigint[], $8::text[], $9::bigint[])";
const PAYLOADS: &str =
    "INSERT INTO payloads (instance, publish, format, payloads, audience, users, trace, interests)
    SELECT instance, publish, $3, payloads, audience, users, trace, interests
      FROM unnest($1::bigint[], $2::bigint[], $4::text[], $5::bytea[], $6::text[], $7::bytea[], $8::text[])
           AS n(instance, publish, payloads, audience, users, trace, interests)";
const JOBS: &str = "INSERT INTO jobs (instance, publish, cursor, range_end, fence, owner, leased_until)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::uuid[], $7::bigint[])
    RETURNING job, instance, publish, cursor, range_end, fence, NULL::uuid";

/// Writes what was decided. The jobs that were leased at once, by publish.
async fn write(
    session: &Session,
    drafts: &[Option<Draft<'_>>],
) -> Result<HashMap<i64, Vec<Claimed>>, Fault> {
    let drafts: Vec<&Draft<'_>> = drafts.iter().flatten().collect();
    if drafts.is_empty() {
        return Ok(HashMap::new());
    }
    let (_, _, rows) = futures_util::try_join!(
        write_publishes(session, &drafts),
        write_payloads(session, &drafts),
        write_jobs(session, &drafts),
    )?;
    let mut claimed: HashMap<i64, Vec<Claimed>> = HashMap::new();
    // Without a lease a job has no fence yet: it is nobody's.
    for job in jobs::in_order(&rows)?
        .into_iter()
        .filter(|job| job.fence.0 > 0)
    {
        claimed.entry(job.publish.number).or_default().push(job);
    }
    Ok(claimed)
}

async fn write_publishes(session: &Session, drafts: &[&Draft<'_>]) -> Result<u64, Fault> {
    let publishes = || drafts.iter().map(|draft| &draft.request.0.publish);
    let instances: Vec<i64> = drafts.iter().map(|draft| draft.instance).collect();
    let numbers: Vec<i64> = drafts.iter().map(|draft| draft.number).collect();
    let ids: Vec<Uuid> = publishes().map(|publish| *publish.id.uuid()).collect();
    let accepted: Vec<i64> = publishes()
        .map(|publish| publish.accepted_at.as_millis())
        .collect();
    let finished: Vec<Option<i64>> = drafts
        .iter()
        .zip(&accepted)
        .map(|(draft, at)| draft.ranges.is_empty().then_some(*at))
        .collect();
    let states: Vec<&str> = finished
        .iter()
        .map(|at| if at.is_some() { FINISHED } else { RUNNING })
        .collect();
    let expires: Vec<Option<i64>> = publishes()
        .map(|publish| publish.expires_at.map(Timestamp::as_millis))
        .collect();
    let audiences = || drafts.iter().map(|draft| &draft.request.0.audience);
    let named: Vec<&str> = audiences()
        .map(|audience| audience.kind().as_str())
        .collect();
    let counts: Vec<i64> = audiences()
        .map(|audience| columns::limit(audience.named()))
        .collect();
    session
        .execute(
            PUBLISHES,
            &[
                &instances, &numbers, &ids, &accepted, &finished, &states, &expires, &named,
                &counts,
            ],
        )
        .await
}

async fn write_payloads(session: &Session, drafts: &[&Draft<'_>]) -> Result<u64, Fault> {
    let instances: Vec<i64> = drafts.iter().map(|draft| draft.instance).collect();
    let numbers: Vec<i64> = drafts.iter().map(|draft| draft.number).collect();
    let payloads: Vec<&str> = drafts
        .iter()
        .map(|draft| &*draft.request.1.payloads)
        .collect();
    let audiences: Vec<Vec<u8>> = drafts.iter().map(|draft| encode(&draft.audience)).collect();
    let users: Vec<Option<&str>> = drafts.iter().map(|draft| draft.users.as_deref()).collect();
    let interests: Vec<Option<&str>> = drafts
        .iter()
        .map(|draft| draft.request.1.interests.as_deref())
        .collect();
    let publishes = drafts.iter().map(|draft| &draft.request.0.publish);
    let traces: Vec<Option<Vec<u8>>> = publishes
        .map(|publish| columns::trace(publish.trace))
        .collect();
    session
        .execute(
            PAYLOADS,
            &[
                &instances, &numbers, &FORMAT, &payloads, &audiences, &users, &traces, &interests,
            ],
        )
        .await
}

async fn write_jobs(
    session: &Session,
    drafts: &[&Draft<'_>],
) -> Result<Vec<tokio_postgres::Row>, Fault> {
    let ranges: Vec<(&Draft<'_>, i64, i64)> = drafts
        .iter()
        .flat_map(|draft| {
            draft
                .ranges
                .iter()
                .map(|(begin, end)| (*draft, *begin, *end))
        })
        .collect();
    if ranges.is_empty() {
        return Ok(Vec::new());
    }
    let leases = || ranges.iter().map(|(draft, ..)| draft.request.2.lease);
    let instances: Vec<i64> = ranges.iter().map(|(draft, ..)| draft.instance).collect();
    let numbers: Vec<i64> = ranges.iter().map(|(draft, ..)| draft.number).collect();
    let begins: Vec<i64> = ranges.iter().map(|(_, begin, _)| *begin).collect();
    let ends: Vec<i64> = ranges.iter().map(|(.., end)| *end).collect();
    let fences: Vec<i64> = leases().map(|lease| i64::from(lease.is_some())).collect();
    let owners: Vec<Option<Uuid>> = leases()
        .map(|lease| lease.map(|lease| lease.owner))
        .collect();
    let until: Vec<i64> = leases()
        .map(|lease| lease.map_or(0, |lease| lease.until.as_millis()))
        .collect();
    session
        .rows(
            JOBS,
            &[
                &instances, &numbers, &begins, &ends, &fences, &owners, &until,
            ],
        )
        .await
}
