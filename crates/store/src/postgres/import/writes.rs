//! What was decided of a run of lines, and how it is written: one statement for each kind of change.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::clock::Timestamp;
use domain::interest::InterestName;
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::columns;
use super::super::fault::{Fault, corrupt};
use super::super::session::{Columns as _, Session};
use super::NEVER;
use crate::transfer::DeviceImport;

/// A device that has a line's token.
pub(super) struct Known {
    pub(super) device: i64,
    pub(super) user: Option<i64>,
    /// Names that it is subscribed to.
    pub(super) interests: HashSet<String>,
    registered_at: i64,
    keys: Option<Vec<u8>>,
    bundle_id: Option<String>,
    environment: String,
    metadata: String,
}

impl Known {
    /// Reads `digest, device, user_number, registered_at, keys, bundle_id, environment, metadata`.
    pub(super) fn read(row: &Row) -> Result<Self, Fault> {
        Ok(Self {
            device: row.at(1)?,
            user: row.at(2)?,
            interests: HashSet::new(),
            registered_at: row.at(3)?,
            keys: row.at(4)?,
            bundle_id: row.at(5)?,
            environment: row.at(6)?,
            metadata: row.at(7)?,
        })
    }

    /// Whether what stands here is older than the line and differs from it.
    pub(super) fn is_outdated_by(&self, line: &DeviceImport) -> bool {
        let registered_at = registered_at(line);
        let differs = self.registered_at != registered_at
            || self.keys != columns::keys(&line.token)
            || self.bundle_id.as_deref() != bundle_id(line)
            || environment(line).is_some_and(|word| self.environment != word)
            || metadata(line).is_some_and(|json| self.metadata != json);
        self.registered_at <= registered_at && differs
    }
}

fn registered_at(line: &DeviceImport) -> i64 {
    line.registered_at.unwrap_or(NEVER).as_millis()
}

fn bundle_id(line: &DeviceImport) -> Option<&str> {
    line.bundle_id.as_ref().map(|id| id.as_str())
}

fn environment(line: &DeviceImport) -> Option<&'static str> {
    line.environment.map(columns::environment_word)
}

fn metadata(line: &DeviceImport) -> Option<&str> {
    line.metadata.as_ref().map(|metadata| metadata.as_json())
}

/// What is to be written.
#[derive(Default)]
pub(super) struct Writes<'a> {
    /// With their users.
    new: Vec<(&'a DeviceImport, Option<i64>)>,
    updated: Vec<(i64, &'a DeviceImport)>,
    /// To users.
    bound: Vec<(i64, i64)>,
    /// To names.
    subscribed: Vec<(i64, &'a str)>,
}

impl<'a> Writes<'a> {
    /// A device that was not there, with its interests, and with its user if it has one.
    pub(super) fn insert(&mut self, line: &'a DeviceImport, owner: Option<i64>) {
        self.new.push((line, owner));
    }

    /// What the line says of a device that was there.
    pub(super) fn update(&mut self, device: i64, line: &'a DeviceImport) {
        self.updated.push((device, line));
    }

    /// A device that had no user.
    pub(super) fn bind(&mut self, device: i64, user: i64) {
        self.bound.push((device, user));
    }

    /// Names that a device was not subscribed to.
    pub(super) fn subscribe(&mut self, device: i64, names: Vec<&'a str>) {
        let pairs = names.into_iter().map(|name| (device, name));
        self.subscribed.extend(pairs);
    }

    /// Writes it; `interned` has the number of every name.
    pub(super) async fn write(
        mut self,
        session: &Session,
        instance: i64,
        interned: &BTreeMap<String, i64>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let devices = self.insert_new(session, instance, now).await?;
        for (line, _) in &self.new {
            let device = devices.get(line.id.uuid()).copied();
            let device = device.ok_or_else(|| corrupt("a device that is not there once made"))?;
            let names = line.interests.iter().map(InterestName::as_str);
            self.subscribed.extend(names.map(|name| (device, name)));
        }
        self.write_updated(session, instance).await?;
        self.write_bound(session, instance, now).await?;
        self.write_subscribed(session, instance, interned).await
    }

    /// The numbers of what was inserted, by id.
    async fn insert_new(
        &self,
        session: &Session,
        instance: i64,
        now: Timestamp,
    ) -> Result<HashMap<Uuid, i64>, Fault> {
        if self.new.is_empty() {
            return Ok(HashMap::new());
        }
        let lines = || self.new.iter().map(|(line, _)| *line);
        let owners: Vec<Option<i64>> = self.new.iter().map(|(_, owner)| *owner).collect();
        let rows = session
            .rows(
                "INSERT INTO devices (instance, id, platform, identity, keys, digest, bundle_id, environment, metadata,
                                      user_number, created_at, registered_at, bound_at)
                 SELECT $1::bigint, n.id, n.platform, n.identity, n.keys, n.digest, n.bundle_id, n.environment, n.metadata,
                        n.user_number, $2::bigint, n.registered_at, CASE WHEN n.user_number IS NOT NULL THEN $2::bigint END
                   FROM unnest($3::uuid[], $4::text[], $5::text[], $6::bytea[], $7::bytea[], $8::text[], $9::text[], $10::text[],
                               $11::bigint[], $12::bigint[])
                     AS n(id, platform, identity, keys, digest, bundle_id, environment, metadata, user_number, registered_at)
                 RETURNING id, device",
                &[
                    &instance,
                    &now.as_millis(),
                    &lines().map(|line| *line.id.uuid()).collect::<Vec<_>>(),
                    &lines().map(|line| line.token.platform().as_str()).collect::<Vec<_>>(),
                    &lines().map(|line| line.token.identity()).collect::<Vec<_>>(),
                    &lines().map(|line| columns::keys(&line.token)).collect::<Vec<_>>(),
                    &lines().map(|line| columns::digest(&line.token)).collect::<Vec<_>>(),
                    &lines().map(bundle_id).collect::<Vec<_>>(),
                    &lines().map(|line| columns::environment_word(line.environment.unwrap_or_default())).collect::<Vec<_>>(),
                    &lines().map(|line| metadata(line).unwrap_or("{}")).collect::<Vec<_>>(),
                    &owners,
                    &lines().map(registered_at).collect::<Vec<_>>(),
                ],
            )
            .await?;
        rows.iter()
            .map(|row| Ok((row.at(0)?, row.at(1)?)))
            .collect()
    }

    async fn write_updated(&self, session: &Session, instance: i64) -> Result<(), Fault> {
        if self.updated.is_empty() {
            return Ok(());
        }
        let devices: Vec<i64> = self.updated.iter().map(|(device, _)| *device).collect();
        let lines = || self.updated.iter().map(|(_, line)| *line);
        session
            .execute(
                "UPDATE devices d SET keys = n.keys, bundle_id = n.bundle_id, environment = coalesce(n.environment, d.environment),
                        metadata = coalesce(n.metadata, d.metadata), registered_at = n.registered_at
                   FROM unnest($2::bigint[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::bigint[])
                     AS n(device, keys, bundle_id, environment, metadata, registered_at)
                  WHERE d.instance = $1 AND d.device = n.device",
                &[
                    &instance,
                    &devices,
                    &lines().map(|line| columns::keys(&line.token)).collect::<Vec<_>>(),
                    &lines().map(bundle_id).collect::<Vec<_>>(),
                    &lines().map(environment).collect::<Vec<_>>(),
                    &lines().map(metadata).collect::<Vec<_>>(),
                    &lines().map(registered_at).collect::<Vec<_>>(),
                ],
            )
            .await?;
        Ok(())
    }

    async fn write_bound(
        &self,
        session: &Session,
        instance: i64,
        now: Timestamp,
    ) -> Result<(), Fault> {
        if self.bound.is_empty() {
            return Ok(());
        }
        let (devices, users): (Vec<i64>, Vec<i64>) = self.bound.iter().copied().unzip();
        session
            .execute(
                "UPDATE devices d SET user_number = n.user_number, bound_at = $4
                   FROM unnest($2::bigint[], $3::bigint[]) AS n(device, user_number)
                  WHERE d.instance = $1 AND d.device = n.device",
                &[&instance, &devices, &users, &now.as_millis()],
            )
            .await?;
        Ok(())
    }

    async fn write_subscribed(
        &self,
        session: &Session,
        instance: i64,
        interned: &BTreeMap<String, i64>,
    ) -> Result<(), Fault> {
        if self.subscribed.is_empty() {
            return Ok(());
        }
        let mut pairs = Vec::with_capacity(self.subscribed.len());
        for (device, name) in &self.subscribed {
            let interest = interned.get(*name).copied();
            let interest = interest.ok_or_else(|| corrupt("an interest that was not made up"))?;
            pairs.push((interest, *device));
        }
        let (interests, devices): (Vec<i64>, Vec<i64>) = pairs.into_iter().unzip();
        session
            .execute(
                "INSERT INTO subscriptions (instance, interest, device)
                 SELECT $1::bigint, n.interest, n.device FROM unnest($2::bigint[], $3::bigint[]) AS n(interest, device)
                 ON CONFLICT DO NOTHING",
                &[&instance, &interests, &devices],
            )
            .await?;
        Ok(())
    }
}
