//! Devices in bulk: many lines in one transaction.
//!
//! What costs in bulk is looked up once for the batch: numbers of users, held so that they stay, and how many devices each has.
//! Nothing is deleted in here, so those stay right until the transaction ends, and not a moment longer. A line is decided
//! before anything of it is written, so that a refused one leaves nothing behind.

use std::collections::{BTreeSet, HashMap};

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::user::UserId;

use super::audience::index;
use super::fault::Fault;
use super::session::{Columns as _, Session};
use super::{columns, instances, interests, users};
use crate::transfer::{DeviceImport, ImportRefusal, ImportRules, Imported};

/// When a device registered of which no file says it: before any gateway can have declared its token dead.
const NEVER: Timestamp = Timestamp::from_millis(0);

/// A device that has the line's token.
struct Known {
    device: i64,
    user: Option<i64>,
    /// Whether what stands there is older than the line and differs from it.
    outdated: bool,
}

/// A user who has devices, or will have.
struct Owner {
    number: i64,
    /// Devices of each platform.
    devices: [u32; Platform::ALL.len()],
}

struct Batch<'a> {
    session: &'a Session,
    instance: i64,
    rules: ImportRules,
    now: Timestamp,
    owners: HashMap<&'a UserId, Owner>,
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
    // What is there of these devices does not change before the end, and is held in one order whoever imports.
    let digests: Vec<Vec<u8>> = lines
        .iter()
        .map(|line| columns::digest(&line.token))
        .collect();
    session
        .execute(
            "SELECT 1 FROM devices WHERE instance = $1 AND digest = ANY($2) ORDER BY device FOR UPDATE",
            &[&instance, &digests],
        )
        .await?;
    let names: BTreeSet<&str> = lines
        .iter()
        .flat_map(|line| &line.interests)
        .map(InterestName::as_str)
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    let mut batch = Batch {
        session,
        instance,
        rules,
        now,
        owners: owners(session, instance, lines).await?,
    };
    let mut answers = Vec::with_capacity(lines.len());
    for line in lines {
        let imported = batch.import(line).await?;
        answers.push(imported);
        if rules.stop_at_refused && matches!(imported, Imported::Refused(_)) {
            break;
        }
    }
    // Who was made up for a line that was refused is nobody.
    let made_up = batch.owners.values().map(|owner| owner.number).collect();
    users::forget(session, instance, made_up).await?;
    let interned = interests::numbers(session, instance, &names).await?;
    interests::forget(session, instance, interned).await?;
    Ok(answers)
}

/// The users of the lines, held in the order of their ids, with how many devices each has.
async fn owners<'a>(
    session: &Session,
    instance: i64,
    lines: &'a [DeviceImport],
) -> Result<HashMap<&'a UserId, Owner>, Fault> {
    let ids: BTreeSet<&UserId> = lines.iter().filter_map(|line| line.user.as_ref()).collect();
    let mut found = HashMap::with_capacity(ids.len());
    for id in ids {
        let number = users::lock(session, instance, id).await?;
        let rows = session
            .rows(
                "SELECT platform, count(*) FROM devices WHERE instance = $1 AND user_number = $2 GROUP BY platform",
                &[&instance, &number],
            )
            .await?;
        let mut devices = [0; Platform::ALL.len()];
        for row in &rows {
            let has = u32::try_from(row.at::<i64>(1)?).unwrap_or(u32::MAX);
            devices[index(columns::platform(row.at(0)?)?)] = has;
        }
        found.insert(id, Owner { number, devices });
    }
    Ok(found)
}

impl<'a> Batch<'a> {
    async fn import(&mut self, line: &'a DeviceImport) -> Result<Imported, Fault> {
        match self.known(line).await? {
            Some(known) => self.import_known(line, &known).await,
            None => self.import_new(line).await,
        }
    }

    async fn import_new(&mut self, line: &'a DeviceImport) -> Result<Imported, Fault> {
        if line.interests.len() > self.rules.interests_max {
            return Ok(Imported::Refused(ImportRefusal::TooManyInterests));
        }
        if line.id_is_known && self.is_taken(line).await? {
            return Ok(Imported::Refused(ImportRefusal::IdTaken));
        }
        if !self.has_room(line) {
            return Ok(Imported::Refused(ImportRefusal::TooManyDevices));
        }
        let owner = self.bind(line);
        let device: i64 = self
            .session
            .known(
                "INSERT INTO devices (instance, id, platform, identity, keys, digest, bundle_id, environment, metadata,
                                      user_number, created_at, registered_at, bound_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING device",
                &[
                    &self.instance,
                    line.id.uuid(),
                    &line.token.platform().as_str(),
                    &line.token.identity(),
                    &columns::keys(&line.token),
                    &columns::digest(&line.token),
                    &line.bundle_id.as_ref().map(|id| id.as_str()),
                    &columns::environment_word(line.environment.unwrap_or_default()),
                    &line.metadata.as_ref().map_or("{}", |metadata| metadata.as_json()),
                    &owner,
                    &self.now.as_millis(),
                    &line.registered_at.unwrap_or(NEVER).as_millis(),
                    &owner.map(|_| self.now.as_millis()),
                ],
            )
            .await?;
        let names: Vec<&str> = line.interests.iter().map(InterestName::as_str).collect();
        interests::subscribe(self.session, self.instance, device, &names).await?;
        Ok(Imported::Done {
            new: true,
            updated: false,
            bound: owner.is_some(),
            subscriptions: line.interests.len(),
        })
    }

    async fn import_known(
        &mut self,
        line: &'a DeviceImport,
        known: &Known,
    ) -> Result<Imported, Fault> {
        let mut binds = false;
        if let Some(user) = &line.user {
            let number = self.owners.get(user).map(|owner| owner.number);
            if known.user.is_some() && known.user != number {
                return Ok(Imported::Refused(ImportRefusal::ToAnotherUser));
            }
            binds = known.user.is_none();
            if binds && !self.has_room(line) {
                return Ok(Imported::Refused(ImportRefusal::TooManyDevices));
            }
        }
        let has = interests::of_device(self.session, self.instance, known.device).await?;
        let missing: Vec<&str> = line
            .interests
            .iter()
            .filter(|name| has.binary_search(name).is_err())
            .map(InterestName::as_str)
            .collect();
        if !missing.is_empty() && has.len() + missing.len() > self.rules.interests_max {
            return Ok(Imported::Refused(ImportRefusal::TooManyInterests));
        }
        if known.outdated {
            self.update(line, known.device).await?;
        }
        if binds && let Some(number) = self.bind(line) {
            self.session
                .execute(
                    "UPDATE devices SET user_number = $3, bound_at = $4 WHERE instance = $1 AND device = $2",
                    &[
                        &self.instance,
                        &known.device,
                        &number,
                        &self.now.as_millis(),
                    ],
                )
                .await?;
        }
        interests::subscribe(self.session, self.instance, known.device, &missing).await?;
        Ok(Imported::Done {
            new: false,
            updated: known.outdated,
            bound: binds,
            subscriptions: missing.len(),
        })
    }

    /// The device that has the line's token.
    async fn known(&self, line: &DeviceImport) -> Result<Option<Known>, Fault> {
        let registered_at = line.registered_at.unwrap_or(NEVER).as_millis();
        let row = self
            .session
            .row(
                "SELECT device, user_number, registered_at, keys, bundle_id, environment, metadata
                   FROM devices WHERE instance = $1 AND digest = $2",
                &[&self.instance, &columns::digest(&line.token)],
            )
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let stands_at: i64 = row.at(2)?;
        let environment = line.environment.map(columns::environment_word);
        let metadata = line.metadata.as_ref().map(|metadata| metadata.as_json());
        let differs = stands_at != registered_at
            || row.at::<Option<Vec<u8>>>(3)? != columns::keys(&line.token)
            || row.at::<Option<&str>>(4)? != line.bundle_id.as_ref().map(|id| id.as_str())
            || environment.is_some_and(|word| !matches!(row.at::<&str>(5), Ok(at) if at == word))
            || metadata.is_some_and(|json| !matches!(row.at::<&str>(6), Ok(at) if at == json));
        Ok(Some(Known {
            device: row.at(0)?,
            user: row.at(1)?,
            outdated: stands_at <= registered_at && differs,
        }))
    }

    async fn update(&self, line: &DeviceImport, device: i64) -> Result<(), Fault> {
        self.session
            .execute(
                "UPDATE devices SET keys = $3, bundle_id = $4, environment = coalesce($5, environment),
                        metadata = coalesce($6, metadata), registered_at = $7
                  WHERE instance = $1 AND device = $2",
                &[
                    &self.instance,
                    &device,
                    &columns::keys(&line.token),
                    &line.bundle_id.as_ref().map(|id| id.as_str()),
                    &line.environment.map(columns::environment_word),
                    &line.metadata.as_ref().map(|metadata| metadata.as_json()),
                    &line.registered_at.unwrap_or(NEVER).as_millis(),
                ],
            )
            .await?;
        Ok(())
    }

    /// Whether another device has the line's id.
    async fn is_taken(&self, line: &DeviceImport) -> Result<bool, Fault> {
        self.session
            .known(
                "SELECT EXISTS (SELECT 1 FROM devices WHERE instance = $1 AND id = $2)",
                &[&self.instance, line.id.uuid()],
            )
            .await
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
