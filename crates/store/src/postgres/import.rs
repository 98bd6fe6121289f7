//! Devices in bulk: many lines in one transaction, and in as many round trips as one line takes.
//!
//! What there is of the lines is read once: users, held so that they stay, with how many devices each has, and the devices that
//! have the lines' tokens or ids. Every line is decided on that, in order, and what was decided is written together. A line that
//! names a token or an id again is decided on what has become of it, so it begins another such run. A refused line leaves nothing behind.

use std::collections::{BTreeSet, HashMap, HashSet};

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::user::UserId;
use uuid::Uuid;

use self::writes::{Known, Writes};
use super::audience::index;
use super::fault::{Fault, corrupt};
use super::session::{Columns as _, Session};
use super::{columns, instances, interests, users};
use crate::transfer::{DeviceImport, ImportRefusal, ImportRules, Imported};

mod writes;

/// When a device registered of which no file says it: before any gateway can have declared its token dead.
const NEVER: Timestamp = Timestamp::from_millis(0);

/// A user who has devices, or will have.
struct Owner {
    number: i64,
    /// Devices of each platform.
    devices: [u32; Platform::ALL.len()],
}

/// What there is of the lines of a run.
#[derive(Default)]
struct Present {
    /// By the digest of the token.
    known: HashMap<Vec<u8>, Known>,
    /// Ids that devices have.
    taken: HashSet<Uuid>,
}

struct Batch<'a> {
    rules: ImportRules,
    owners: HashMap<&'a UserId, Owner>,
    present: Present,
    writes: Writes<'a>,
}

/// Imports devices, in order; the answers are in the same order, and end early where the rules say to stop.
pub(super) async fn devices(
    session: &Session,
    instance: InstanceId,
    lines: &[DeviceImport],
    rules: ImportRules,
    now: Timestamp,
) -> Result<Vec<Imported>, Fault> {
    let instance = instances::known(session, instance).await?;
    let digests: Vec<Vec<u8>> = lines
        .iter()
        .map(|line| columns::digest(&line.token))
        .collect();
    // What is there of these devices does not change before the end, and is held in one order whoever imports. What comes
    // meanwhile is held when it is seen.
    session
        .execute(
            "SELECT 1 FROM devices WHERE instance = $1 AND digest = ANY($2) ORDER BY device FOR UPDATE",
            &[&instance, &digests],
        )
        .await?;
    let mut batch = Batch {
        rules,
        owners: owners(session, instance, lines).await?,
        present: Present::default(),
        writes: Writes::default(),
    };
    let names = lines.iter().flat_map(|line| &line.interests);
    let names: BTreeSet<&str> = names.map(InterestName::as_str).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let interned = interests::intern(session, instance, &names).await?;
    let mut answers = Vec::with_capacity(lines.len());
    let mut stops = false;
    for run in runs(lines, &digests) {
        if stops {
            break;
        }
        let digests = &digests[answers.len()..answers.len() + run.len()];
        batch.present = Present::of(session, instance, run, digests).await?;
        for (line, digest) in run.iter().zip(digests) {
            let imported = batch.import(line, digest);
            answers.push(imported);
            if rules.stop_at_refused && matches!(imported, Imported::Refused(_)) {
                stops = true;
                break;
            }
        }
        let writes = std::mem::take(&mut batch.writes);
        writes.write(session, instance, &interned, now).await?;
    }
    if answers
        .iter()
        .any(|answer| matches!(answer, Imported::Refused(_)))
    {
        // Who or what was made up for a line that was refused is nobody and nothing.
        let made_up = batch.owners.values().map(|owner| owner.number).collect();
        users::forget(session, instance, made_up).await?;
        interests::forget(session, instance, interned.into_values().collect()).await?;
    }
    Ok(answers)
}

/// The lines in runs that name each token and each id once.
fn runs<'a>(lines: &'a [DeviceImport], digests: &[Vec<u8>]) -> Vec<&'a [DeviceImport]> {
    let (mut tokens, mut ids) = (HashSet::new(), HashSet::new());
    let mut runs = Vec::new();
    let mut begin = 0;
    for (place, (line, digest)) in lines.iter().zip(digests).enumerate() {
        if tokens.contains(digest) || ids.contains(line.id.uuid()) {
            runs.push(&lines[begin..place]);
            begin = place;
            tokens.clear();
            ids.clear();
        }
        tokens.insert(digest);
        ids.insert(line.id.uuid());
    }
    runs.push(&lines[begin..]);
    runs
}

/// The users of the lines, held in the order of their ids, with how many devices each has.
async fn owners<'a>(
    session: &Session,
    instance: i64,
    lines: &'a [DeviceImport],
) -> Result<HashMap<&'a UserId, Owner>, Fault> {
    let ids: BTreeSet<&UserId> = lines.iter().filter_map(|line| line.user.as_ref()).collect();
    let words: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
    let numbers = users::lock_all(session, instance, &words).await?;
    let mut found = HashMap::with_capacity(ids.len());
    for id in ids {
        let number = numbers.get(id.as_str()).copied();
        let number = number.ok_or_else(|| corrupt("a user who is not there once made up"))?;
        let devices = [0; Platform::ALL.len()];
        found.insert(id, Owner { number, devices });
    }
    let numbers: Vec<i64> = numbers.into_values().collect();
    let rows = session
        .rows(
            "SELECT u.id, d.platform, count(*) FROM users u
               JOIN devices d ON d.instance = u.instance AND d.user_number = u.user_number
              WHERE u.instance = $1 AND u.user_number = ANY($2) GROUP BY u.id, d.platform",
            &[&instance, &numbers],
        )
        .await?;
    for row in &rows {
        let has = u32::try_from(row.at::<i64>(2)?).unwrap_or(u32::MAX);
        if let Some(owner) = found.get_mut(&columns::user(row.at(0)?)?) {
            owner.devices[index(columns::platform(row.at(1)?)?)] = has;
        }
    }
    Ok(found)
}

impl Present {
    async fn of(
        session: &Session,
        instance: i64,
        lines: &[DeviceImport],
        digests: &[Vec<u8>],
    ) -> Result<Self, Fault> {
        let mut present = Self::default();
        let rows = session
            .rows(
                "SELECT digest, device, user_number, registered_at, keys, bundle_id, environment, metadata
                   FROM devices WHERE instance = $1 AND digest = ANY($2) ORDER BY device FOR UPDATE",
                &[&instance, &digests],
            )
            .await?;
        let mut places = HashMap::with_capacity(rows.len());
        for row in &rows {
            let digest: Vec<u8> = row.at(0)?;
            places.insert(row.at::<i64>(1)?, digest.clone());
            present.known.insert(digest, Known::read(row)?);
        }
        let devices: Vec<i64> = places.keys().copied().collect();
        if !devices.is_empty() {
            let rows = session
                .rows(
                    "SELECT s.device, i.name FROM subscriptions s JOIN interests i ON i.instance = s.instance AND i.interest = s.interest
                      WHERE s.instance = $1 AND s.device = ANY($2)",
                    &[&instance, &devices],
                )
                .await?;
            for row in &rows {
                let digest = places.get(&row.at::<i64>(0)?);
                if let Some(known) = digest.and_then(|digest| present.known.get_mut(digest)) {
                    known.interests.insert(row.at(1)?);
                }
            }
        }
        let ids = lines.iter().filter(|line| line.id_is_known);
        let ids: Vec<Uuid> = ids.map(|line| *line.id.uuid()).collect();
        if !ids.is_empty() {
            let taken: Vec<Uuid> = session
                .values(
                    "SELECT id FROM devices WHERE instance = $1 AND id = ANY($2)",
                    &[&instance, &ids],
                )
                .await?;
            present.taken.extend(taken);
        }
        Ok(present)
    }
}

impl<'a> Batch<'a> {
    fn import(&mut self, line: &'a DeviceImport, digest: &[u8]) -> Imported {
        let imported = match self.present.known.remove(digest) {
            Some(known) => self.import_known(line, &known),
            None => self.import_new(line),
        };
        imported.unwrap_or_else(Imported::Refused)
    }

    fn import_new(&mut self, line: &'a DeviceImport) -> Result<Imported, ImportRefusal> {
        if line.interests.len() > self.rules.interests_max {
            return Err(ImportRefusal::TooManyInterests);
        }
        if line.id_is_known && self.present.taken.contains(line.id.uuid()) {
            return Err(ImportRefusal::IdTaken);
        }
        if !self.has_room(line) {
            return Err(ImportRefusal::TooManyDevices);
        }
        let owner = self.bind(line);
        self.writes.insert(line, owner);
        Ok(Imported::Done {
            new: true,
            updated: false,
            bound: owner.is_some(),
            subscriptions: line.interests.len(),
        })
    }

    fn import_known(
        &mut self,
        line: &'a DeviceImport,
        known: &Known,
    ) -> Result<Imported, ImportRefusal> {
        let mut binds = false;
        if let Some(user) = &line.user {
            let number = self.owners.get(user).map(|owner| owner.number);
            if known.user.is_some() && known.user != number {
                return Err(ImportRefusal::ToAnotherUser);
            }
            binds = known.user.is_none();
            if binds && !self.has_room(line) {
                return Err(ImportRefusal::TooManyDevices);
            }
        }
        let names = line.interests.iter().map(InterestName::as_str);
        let missing: Vec<&str> = names
            .filter(|name| !known.interests.contains(*name))
            .collect();
        let total = known.interests.len() + missing.len();
        if !missing.is_empty() && total > self.rules.interests_max {
            return Err(ImportRefusal::TooManyInterests);
        }
        let updated = known.is_outdated_by(line);
        if updated {
            self.writes.update(known.device, line);
        }
        if binds && let Some(number) = self.bind(line) {
            self.writes.bind(known.device, number);
        }
        let subscriptions = missing.len();
        self.writes.subscribe(known.device, missing);
        Ok(Imported::Done {
            new: false,
            updated,
            bound: binds,
            subscriptions,
        })
    }

    /// Whether the line's user, if it names one, may have another device of its platform.
    fn has_room(&self, line: &DeviceImport) -> bool {
        let owner = line.user.as_ref().and_then(|user| self.owners.get(user));
        owner.is_none_or(|owner| {
            owner.devices[index(line.token.platform())] < self.rules.devices_max
        })
    }

    /// Counts the line's device as its user's. The user's number.
    fn bind(&mut self, line: &DeviceImport) -> Option<i64> {
        let owner = self.owners.get_mut(line.user.as_ref()?)?;
        owner.devices[index(line.token.platform())] += 1;
        Some(owner.number)
    }
}
