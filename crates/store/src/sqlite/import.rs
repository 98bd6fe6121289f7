//! Devices in bulk: many lines in one transaction.
//!
//! What costs in bulk is looked up once for the batch: numbers of interests and of users, and how many devices a user has.
//! Nothing is deleted in here, so those stay right until the transaction ends, and not a moment longer. A line is decided
//! before anything of it is written, so that a refused one leaves nothing behind.

use std::collections::HashMap;

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::user::UserId;
use rusqlite::{Connection, params};

use super::audience::index;
use super::{columns, devices, instances, interests, users};
use crate::StoreError;
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
    number: Option<i64>,
    /// Devices of each platform.
    devices: [u32; Platform::ALL.len()],
}

struct Batch<'a> {
    connection: &'a Connection,
    instance: i64,
    rules: ImportRules,
    now: Timestamp,
    interests: HashMap<&'a InterestName, i64>,
    owners: HashMap<&'a UserId, Owner>,
}

/// Imports devices, in order; the answers are in the same order, and end early where the rules say to stop.
pub(super) fn devices(
    connection: &Connection,
    instance: InstanceId,
    lines: &[DeviceImport],
    rules: ImportRules,
    now: Timestamp,
) -> Result<Vec<Imported>, StoreError> {
    let mut batch = Batch {
        connection,
        instance: instances::known(connection, instance)?,
        rules,
        now,
        interests: HashMap::new(),
        owners: HashMap::new(),
    };
    let mut answers = Vec::with_capacity(lines.len());
    for line in lines {
        let imported = batch.import(line)?;
        answers.push(imported);
        if rules.stop_at_refused && matches!(imported, Imported::Refused(_)) {
            break;
        }
    }
    let is_new = |imported: &&Imported| matches!(imported, Imported::Done { new: true, .. });
    let new = answers.iter().filter(is_new).count();
    devices::counted(connection, batch.instance, new)?;
    Ok(answers)
}

impl<'a> Batch<'a> {
    fn import(&mut self, line: &'a DeviceImport) -> Result<Imported, StoreError> {
        match self.known(line)? {
            Some(known) => self.import_known(line, &known),
            None => self.import_new(line),
        }
    }

    fn import_new(&mut self, line: &'a DeviceImport) -> Result<Imported, StoreError> {
        if line.interests.len() > self.rules.interests_max {
            return Ok(Imported::Refused(ImportRefusal::TooManyInterests));
        }
        if line.id_is_known && self.is_taken(line)? {
            return Ok(Imported::Refused(ImportRefusal::IdTaken));
        }
        if !self.has_room(line)? {
            return Ok(Imported::Refused(ImportRefusal::TooManyDevices));
        }
        let owner = self.bind(line)?;
        self.connection
            .prepare_cached(
                "INSERT INTO devices (instance, id, platform, identity, keys, bundle_id, environment, metadata,
                                      user_number, created_at, registered_at, bound_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                self.instance,
                line.id.uuid().as_bytes(),
                line.token.platform().as_str(),
                line.token.identity(),
                line.token.keys(),
                line.bundle_id.as_ref().map(|id| id.as_str()),
                columns::environment_word(line.environment.unwrap_or_default()),
                line.metadata.as_ref().map_or("{}", |metadata| metadata.as_json()),
                owner,
                self.now.as_millis(),
                line.registered_at.unwrap_or(NEVER).as_millis(),
                owner.map(|_| self.now.as_millis()),
            ])?;
        let device = self.connection.last_insert_rowid();
        for name in &line.interests {
            let interest = self.interest(name)?;
            interests::subscribe(self.connection, interest, device)?;
        }
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
    ) -> Result<Imported, StoreError> {
        let mut binds = false;
        if let Some(user) = &line.user {
            let number = self.owner(user)?.number;
            if known.user.is_some() && known.user != number {
                return Ok(Imported::Refused(ImportRefusal::ToAnotherUser));
            }
            binds = known.user.is_none();
            if binds && !self.has_room(line)? {
                return Ok(Imported::Refused(ImportRefusal::TooManyDevices));
            }
        }
        let has = interests::of_device(self.connection, known.device)?;
        let missing: Vec<&InterestName> = line
            .interests
            .iter()
            .filter(|name| has.binary_search(name).is_err())
            .collect();
        if !missing.is_empty() && has.len() + missing.len() > self.rules.interests_max {
            return Ok(Imported::Refused(ImportRefusal::TooManyInterests));
        }
        if known.outdated {
            self.update(line, known.device)?;
        }
        if binds && let Some(number) = self.bind(line)? {
            self.connection
                .prepare_cached(
                    "UPDATE devices SET user_number = ?2, bound_at = ?3 WHERE device = ?1",
                )?
                .execute([known.device, number, self.now.as_millis()])?;
        }
        for name in &missing {
            let interest = self.interest(name)?;
            interests::subscribe(self.connection, interest, known.device)?;
        }
        Ok(Imported::Done {
            new: false,
            updated: known.outdated,
            bound: binds,
            subscriptions: missing.len(),
        })
    }

    /// The device that has the line's token.
    fn known(&self, line: &DeviceImport) -> Result<Option<Known>, StoreError> {
        let registered_at = line.registered_at.unwrap_or(NEVER).as_millis();
        let mut statement = self.connection.prepare_cached(
            "SELECT device, user_number, registered_at, keys, bundle_id, environment, metadata
               FROM devices WHERE instance = ?1 AND platform = ?2 AND identity = ?3",
        )?;
        let (platform, identity) = (line.token.platform().as_str(), line.token.identity());
        let mut rows = statement.query(params![self.instance, platform, identity])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let stands_at: i64 = row.get(2)?;
        let differs = stands_at != registered_at
            || row.get_ref(3)?.as_blob_or_null()?
                != line.token.keys().as_ref().map(|keys| &keys[..])
            || row.get_ref(4)?.as_str_or_null()? != line.bundle_id.as_ref().map(|id| id.as_str())
            || line
                .environment
                .map(columns::environment_word)
                .is_some_and(|word| row.get_ref(5).and_then(|at| Ok(at.as_str()?)) != Ok(word))
            || line.metadata.as_ref().is_some_and(|new| {
                row.get_ref(6).and_then(|at| Ok(at.as_str()?)) != Ok(new.as_json())
            });
        Ok(Some(Known {
            device: row.get(0)?,
            user: row.get(1)?,
            outdated: stands_at <= registered_at && differs,
        }))
    }

    fn update(&self, line: &DeviceImport, device: i64) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "UPDATE devices SET keys = ?2, bundle_id = ?3, environment = coalesce(?4, environment),
                        metadata = coalesce(?5, metadata), registered_at = ?6
                  WHERE device = ?1",
            )?
            .execute(params![
                device,
                line.token.keys(),
                line.bundle_id.as_ref().map(|id| id.as_str()),
                line.environment.map(columns::environment_word),
                line.metadata.as_ref().map(|metadata| metadata.as_json()),
                line.registered_at.unwrap_or(NEVER).as_millis(),
            ])?;
        Ok(())
    }

    /// Whether another device has the line's id.
    fn is_taken(&self, line: &DeviceImport) -> Result<bool, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT 1 FROM devices WHERE instance = ?1 AND id = ?2")?
            .exists(params![self.instance, line.id.uuid().as_bytes()])?)
    }

    /// Whether the line's user, if it names one, may have another device of its platform.
    fn has_room(&mut self, line: &'a DeviceImport) -> Result<bool, StoreError> {
        let Some(user) = &line.user else {
            return Ok(true);
        };
        let devices_max = self.rules.devices_max;
        Ok(self.owner(user)?.devices[index(line.token.platform())] < devices_max)
    }

    fn owner(&mut self, user: &'a UserId) -> Result<&mut Owner, StoreError> {
        use std::collections::hash_map::Entry;
        let entry = match self.owners.entry(user) {
            Entry::Occupied(entry) => return Ok(entry.into_mut()),
            Entry::Vacant(entry) => entry,
        };
        let number = users::number(self.connection, self.instance, user)?;
        let mut devices = [0; Platform::ALL.len()];
        if let Some(number) = number {
            let mut statement = self.connection.prepare_cached(
                "SELECT platform FROM devices WHERE user_number = ?1 ORDER BY device",
            )?;
            let mut rows = statement.query([number])?;
            while let Some(row) = rows.next()? {
                devices[index(columns::platform(row.get_ref(0)?.as_str()?)?)] += 1;
            }
        }
        Ok(entry.insert(Owner { number, devices }))
    }

    /// Counts the line's device as its user's. The user's number.
    fn bind(&mut self, line: &'a DeviceImport) -> Result<Option<i64>, StoreError> {
        let Some(user) = &line.user else {
            return Ok(None);
        };
        let number = match self.owner(user)?.number {
            Some(number) => number,
            None => users::insert(self.connection, self.instance, user)?,
        };
        let owner = self.owner(user)?;
        owner.number = Some(number);
        owner.devices[index(line.token.platform())] += 1;
        Ok(Some(number))
    }

    fn interest(&mut self, name: &'a InterestName) -> Result<i64, StoreError> {
        if let Some(number) = self.interests.get(name) {
            return Ok(*number);
        }
        let number = interests::intern(self.connection, self.instance, name)?;
        self.interests.insert(name, number);
        Ok(number)
    }
}
