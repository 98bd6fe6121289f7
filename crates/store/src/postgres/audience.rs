//! Audiences: who is in one, read in pages, and how one is cut into jobs.
//!
//! Subscriptions are keyed by interest and device, and a user's devices are indexed by device, so each source of an audience
//! comes out ascending. A page merges the sources from the cursor on; a device in several of them is taken once. Sources are
//! read ahead in portions, those that have run out together in one statement, and only those that the merge waits for; so a
//! page costs about its limit plus the number of sources, wherever it lies.

use std::collections::{BTreeMap, VecDeque};

use domain::device::{DeviceOrdinal, Platform};
use domain::instance::InstanceId;
use domain::user::UserOrdinal;

use super::fault::Fault;
use super::session::{Columns as _, Session};
use super::{columns, lists};
use crate::publishes::{Page, Plan, ResolvedAudience};

/// A page ends after this many devices for each one asked for, whether the publish is for their platforms or not.
const SCANNED_PER_KEPT_MAX: usize = 4;
/// The least and the most that is read ahead from a source; doubled each time it runs out.
const PORTION_MIN: usize = 8;
const PORTION_MAX: usize = 1024;
/// An audience of at most this many subscriptions is one job, whatever range it spans.
const SMALL_AUDIENCE_MAX: i64 = 1000;

/// The next of each source behind where it has been read to. The instance is looked up within, since a page may be asked
/// for by somebody who has only its id.
pub(super) const SUBSCRIBERS: &str = "SELECT n.place, s.device
    FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS n(number, after, most, place)
    CROSS JOIN LATERAL (SELECT device FROM subscriptions
        WHERE instance = $1 AND interest = n.number AND device > n.after AND device <= $5 ORDER BY device LIMIT n.most) AS s";
pub(super) const USER_DEVICES: &str = "SELECT n.place, s.device
    FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS n(number, after, most, place)
    CROSS JOIN LATERAL (SELECT device FROM devices
        WHERE instance = $1 AND user_number = n.number AND device > n.after AND device <= $5 ORDER BY device LIMIT n.most) AS s";
pub(super) const FAILED_DEVICES: &str = "SELECT n.place, s.device
    FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS n(number, after, most, place)
    CROSS JOIN LATERAL (SELECT device FROM failures
        WHERE instance = $1 AND publish = n.number AND device > n.after AND device <= $5 ORDER BY device LIMIT n.most) AS s";
pub(super) const RECIPIENTS: &str =
    "SELECT device, platform, identity, keys, bundle_id, environment, registered_at, user_number
    FROM devices WHERE instance = $1 AND device = ANY($2) ORDER BY device";

/// The devices of an audience behind `after` up to `end`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) after: DeviceOrdinal,
    pub(super) end: DeviceOrdinal,
    pub(super) limit: usize,
}

pub(super) struct Merge<'a> {
    session: &'a Session,
    instance: i64,
    sql: &'static str,
    sources: Vec<Source>,
    end: i64,
    /// Rows of sources that were read, and statements that read them.
    pub(super) cost: (usize, usize),
}

struct Source {
    number: i64,
    ahead: VecDeque<i64>,
    /// Up to where it has been read.
    read_to: i64,
    portion: usize,
    exhausted: bool,
}

fn sources(audience: &ResolvedAudience) -> (&'static str, &[i64]) {
    match audience {
        ResolvedAudience::Interests(numbers) => (SUBSCRIBERS, numbers),
        ResolvedAudience::Users(numbers) => (USER_DEVICES, numbers),
        ResolvedAudience::FailuresOf(publish) => (FAILED_DEVICES, std::slice::from_ref(publish)),
        // Read by place, and never merged.
        ResolvedAudience::Listed(_) => (USER_DEVICES, &[]),
    }
}

impl<'a> Merge<'a> {
    pub(super) fn new(
        session: &'a Session,
        instance: i64,
        audience: &ResolvedAudience,
        window: Window,
    ) -> Self {
        let (sql, numbers) = sources(audience);
        let share = 2 * window.limit / numbers.len().max(1);
        let portion = share.clamp(PORTION_MIN, PORTION_MAX).max(
            // A single source is the audience itself.
            if numbers.len() == 1 {
                window.limit.min(4 * PORTION_MAX) + 1
            } else {
                0
            },
        );
        let source = |number: &i64| Source {
            number: *number,
            ahead: VecDeque::new(),
            read_to: window.after.0,
            portion,
            exhausted: false,
        };
        Self {
            session,
            instance,
            sql,
            sources: numbers.iter().map(source).collect(),
            end: window.end.0,
            cost: (0, 0),
        }
    }

    /// Reads on in the sources that have nothing ahead.
    async fn fill(&mut self) -> Result<(), Fault> {
        let empty: Vec<usize> = (0..self.sources.len())
            .filter(|index| {
                let source = &self.sources[*index];
                source.ahead.is_empty() && !source.exhausted
            })
            .collect();
        if empty.is_empty() {
            return Ok(());
        }
        let of = |what: fn(&Source) -> i64| -> Vec<i64> {
            empty
                .iter()
                .map(|index| what(&self.sources[*index]))
                .collect()
        };
        let numbers = of(|source| source.number);
        let after = of(|source| source.read_to);
        let most = of(|source| columns::limit(source.portion));
        let rows = self
            .session
            .rows(
                self.sql,
                &[&self.instance, &numbers, &after, &most, &self.end],
            )
            .await?;
        self.cost = (self.cost.0 + rows.len(), self.cost.1 + 1);
        for row in &rows {
            let place: i64 = row.at(0)?;
            let index = usize::try_from(place - 1).ok().and_then(|at| empty.get(at));
            if let Some(index) = index {
                self.sources[*index].ahead.push_back(row.at(1)?);
            }
        }
        for index in empty {
            let source = &mut self.sources[index];
            source.exhausted = source.ahead.len() < source.portion;
            source.ahead.make_contiguous().sort_unstable();
            source.read_to = source.ahead.back().copied().unwrap_or(source.read_to);
            source.portion = (source.portion * 2).min(PORTION_MAX.max(source.portion));
        }
        Ok(())
    }

    /// The next devices of all sources together, each once, at most `most`; fewer only at the end.
    pub(super) async fn next(&mut self, most: usize) -> Result<Vec<i64>, Fault> {
        let mut found = Vec::with_capacity(most);
        self.fill().await?;
        let mut heads: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (index, source) in self.sources.iter().enumerate() {
            if let Some(device) = source.ahead.front() {
                heads.entry(*device).or_default().push(index);
            }
        }
        while found.len() < most {
            let Some((device, of)) = heads.pop_first() else {
                break;
            };
            found.push(device);
            let mut is_dry = false;
            for index in &of {
                let source = &mut self.sources[*index];
                source.ahead.pop_front();
                is_dry |= source.ahead.is_empty() && !source.exhausted;
            }
            if is_dry {
                self.fill().await?;
            }
            for index in of {
                if let Some(device) = self.sources[index].ahead.front() {
                    heads.entry(*device).or_default().push(index);
                }
            }
        }
        Ok(found)
    }

    /// Whether there is nothing more.
    pub(super) fn is_over(&self) -> bool {
        self.sources
            .iter()
            .all(|source| source.exhausted && source.ahead.is_empty())
    }
}

/// Reads a page: devices of the platforms wanted, ascending, each once.
pub(super) async fn page(
    session: &Session,
    instance: InstanceId,
    audience: &ResolvedAudience,
    window: Window,
    wanted: [bool; Platform::ALL.len()],
) -> Result<(Page, (usize, usize)), Fault> {
    let nobody = Page {
        cursor: window.end,
        last: true,
        ..Page::default()
    };
    let Some(instance) = super::instances::number(session, instance).await? else {
        return Ok((nobody, (0, 0)));
    };
    let window = Window {
        limit: window.limit.max(1),
        ..window
    };
    if let ResolvedAudience::Listed(list) = audience {
        let page = lists::page(session, instance, *list, window, wanted).await?;
        return Ok((page, (0, 0)));
    }
    let limit = window.limit;
    let scanned_max = limit.saturating_mul(SCANNED_PER_KEPT_MAX);
    let mut merge = Merge::new(session, instance, audience, window);
    let is_wanted = |platform: Platform| wanted[index(platform)];
    let is_for_users = matches!(audience, ResolvedAudience::Users(_));
    let mut page = Page {
        cursor: window.after,
        ..Page::default()
    };
    let mut scanned = 0;
    while page.recipients.len() < limit && scanned < scanned_max {
        let most = (limit - page.recipients.len()).min(scanned_max - scanned);
        let devices = merge.next(most).await?;
        let Some(last) = devices.last() else { break };
        scanned += devices.len();
        page.cursor = DeviceOrdinal(*last);
        for row in session.rows(RECIPIENTS, &[&instance, &devices]).await? {
            let mut recipient = columns::readable(columns::recipient(&row, 0, is_wanted))?;
            if let (true, Some(recipient)) = (is_for_users, &mut recipient) {
                recipient.user = row.at::<Option<i64>>(7)?.map(UserOrdinal);
            }
            page.recipients.extend(recipient);
        }
        if merge.is_over() {
            break;
        }
    }
    if merge.is_over() {
        page.last = true;
        page.cursor = window.end;
    }
    Ok((page, merge.cost))
}

/// Where a platform stands in the array that [`page`] takes.
pub(super) const fn index(platform: Platform) -> usize {
    match platform {
        Platform::Apns => 0,
        Platform::Fcm => 1,
        Platform::Web => 2,
    }
}

/// The ranges `(cursor, end]` of the jobs for an audience: side by side, from before its first device to its last. None
/// where it has no device.
pub(super) async fn ranges(
    session: &Session,
    instance: i64,
    audience: &ResolvedAudience,
    plan: Plan,
) -> Result<Vec<(i64, i64)>, Fault> {
    if let ResolvedAudience::Listed(list) = audience {
        return lists::ranges(session, *list, plan).await;
    }
    let (_, numbers) = sources(audience);
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let row = session
        .row(bounds(audience), &[&instance, &numbers])
        .await?;
    let bounds = match &row {
        Some(row) => row.at::<Option<i64>>(0)?.zip(row.at::<Option<i64>>(1)?),
        None => None,
    };
    let Some((first, last)) = bounds else {
        return Ok(Vec::new());
    };
    let before = first - 1;
    let span = plan.job_span.max(1);
    if last - before <= span || is_small(session, instance, audience, span).await? {
        return Ok(vec![(before, last)]);
    }
    Ok(plan.cut(before, last))
}

/// The first and the last device of an audience, each read from one end of an index.
pub(super) const fn bounds(audience: &ResolvedAudience) -> &'static str {
    match audience {
        ResolvedAudience::Interests(_) => {
            "SELECT min(least), max(most) FROM unnest($2::bigint[]) AS n(number)
             CROSS JOIN LATERAL (SELECT device AS least FROM subscriptions
                WHERE instance = $1 AND interest = n.number ORDER BY device LIMIT 1) AS a
             CROSS JOIN LATERAL (SELECT device AS most FROM subscriptions
                WHERE instance = $1 AND interest = n.number ORDER BY device DESC LIMIT 1) AS b"
        }
        ResolvedAudience::Users(_) | ResolvedAudience::Listed(_) => {
            "SELECT min(least), max(most) FROM unnest($2::bigint[]) AS n(number)
             CROSS JOIN LATERAL (SELECT device AS least FROM devices
                WHERE instance = $1 AND user_number = n.number ORDER BY device LIMIT 1) AS a
             CROSS JOIN LATERAL (SELECT device AS most FROM devices
                WHERE instance = $1 AND user_number = n.number ORDER BY device DESC LIMIT 1) AS b"
        }
        ResolvedAudience::FailuresOf(_) => {
            "SELECT min(least), max(most) FROM unnest($2::bigint[]) AS n(number)
             CROSS JOIN LATERAL (SELECT device AS least FROM failures
                WHERE instance = $1 AND publish = n.number ORDER BY device LIMIT 1) AS a
             CROSS JOIN LATERAL (SELECT device AS most FROM failures
                WHERE instance = $1 AND publish = n.number ORDER BY device DESC LIMIT 1) AS b"
        }
    }
}

/// Counts an audience, a device as often as it is in it, and no further than it is asked to.
pub(super) const fn counted(audience: &ResolvedAudience) -> &'static str {
    match audience {
        ResolvedAudience::Interests(_) => {
            "SELECT count(*) FROM (SELECT 1 FROM unnest($2::bigint[]) AS n(number) CROSS JOIN LATERAL
                (SELECT 1 FROM subscriptions WHERE instance = $1 AND interest = n.number LIMIT $3) AS s LIMIT $3) AS counted"
        }
        ResolvedAudience::Users(_) | ResolvedAudience::Listed(_) => {
            "SELECT count(*) FROM (SELECT 1 FROM unnest($2::bigint[]) AS n(number) CROSS JOIN LATERAL
                (SELECT 1 FROM devices WHERE instance = $1 AND user_number = n.number LIMIT $3) AS s LIMIT $3) AS counted"
        }
        ResolvedAudience::FailuresOf(_) => {
            "SELECT count(*) FROM (SELECT 1 FROM unnest($2::bigint[]) AS n(number) CROSS JOIN LATERAL
                (SELECT 1 FROM failures WHERE instance = $1 AND publish = n.number LIMIT $3) AS s LIMIT $3) AS counted"
        }
    }
}

/// Whether an audience is too small to be cut, however far apart its devices are.
async fn is_small(
    session: &Session,
    instance: i64,
    audience: &ResolvedAudience,
    span: i64,
) -> Result<bool, Fault> {
    let most = span.min(SMALL_AUDIENCE_MAX);
    let (_, numbers) = sources(audience);
    let has: i64 = session
        .known(counted(audience), &[&instance, &numbers, &(most + 1)])
        .await?;
    Ok(has <= most)
}
