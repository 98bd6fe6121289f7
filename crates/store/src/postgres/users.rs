//! Users and their devices. A user is a row as long as a device is bound to it.

use std::collections::HashMap;

use domain::clock::Timestamp;
use domain::device::DeviceId;
use domain::instance::InstanceId;
use domain::user::UserId;
use domain::webhook::{Removal, WebhookEvent};

use super::fault::Fault;
use super::session::{Columns as _, Session};
use super::{activity, columns, devices, instances, webhooks};
use crate::administration::Unbound;
use crate::devices::Bound;

/// The number of a user, who stays until the transaction ends, and is nobody else's to count until then; made up if there was
/// none.
pub(super) async fn lock(session: &Session, instance: i64, id: &UserId) -> Result<i64, Fault> {
    let found: Option<i64> = session
        .value(
            "SELECT user_number FROM users WHERE instance = $1 AND id = $2 FOR UPDATE",
            &[&instance, &id.as_str()],
        )
        .await?;
    match found {
        Some(number) => Ok(number),
        None => {
            session
                .known(
                    "INSERT INTO users (instance, id) VALUES ($1, $2)
                     ON CONFLICT (instance, id) DO UPDATE SET id = excluded.id RETURNING user_number",
                    &[&instance, &id.as_str()],
                )
                .await
        }
    }
}

/// The same of several, whose ids ascend.
pub(super) async fn lock_all(
    session: &Session,
    instance: i64,
    ids: &[&str],
) -> Result<HashMap<String, i64>, Fault> {
    let mut found = HashMap::with_capacity(ids.len());
    if ids.is_empty() {
        return Ok(found);
    }
    let held = session
        .rows(
            "SELECT id, user_number FROM users WHERE instance = $1 AND id = ANY($2) ORDER BY id FOR UPDATE",
            &[&instance, &ids],
        )
        .await?;
    for row in &held {
        found.insert(row.at(0)?, row.at(1)?);
    }
    let is_missing = |id: &&&str| !found.contains_key(**id);
    let missing: Vec<&str> = ids.iter().filter(is_missing).copied().collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let made = session
        .rows(
            "INSERT INTO users (instance, id) SELECT $1, id FROM unnest($2::text[]) AS n(id)
             ON CONFLICT (instance, id) DO UPDATE SET id = excluded.id RETURNING id, user_number",
            &[&instance, &missing],
        )
        .await?;
    for row in &made {
        found.insert(row.at(0)?, row.at(1)?);
    }
    Ok(found)
}

/// Forgets those of these users who have no device any more.
pub(super) async fn forget(
    session: &Session,
    instance: i64,
    mut users: Vec<i64>,
) -> Result<(), Fault> {
    users.sort_unstable();
    users.dedup();
    if users.is_empty() {
        return Ok(());
    }
    // Whoever binds a device holds its user; what has become of that is seen by the next statement.
    session
        .execute(
            "SELECT 1 FROM users WHERE instance = $1 AND user_number = ANY($2) ORDER BY user_number FOR UPDATE",
            &[&instance, &users],
        )
        .await?;
    session
        .execute(
            "DELETE FROM users u WHERE u.instance = $1 AND u.user_number = ANY($2) AND NOT EXISTS
                (SELECT 1 FROM devices d WHERE d.instance = u.instance AND d.user_number = u.user_number)",
            &[&instance, &users],
        )
        .await?;
    Ok(())
}

/// Counts and binds while it holds the user, so no two calls can both take the last place.
pub(super) async fn bind(
    session: &Session,
    instance: InstanceId,
    id: DeviceId,
    user: &UserId,
    devices_max: u32,
    now: Timestamp,
) -> Result<Bound, Fault> {
    let Some(found) = devices::find_to_change(session, instance, id).await? else {
        return Ok(Bound::UnknownDevice);
    };
    if let Some(bound) = found.user {
        let owner: Option<String> = session
            .value(
                "SELECT id FROM users WHERE instance = $1 AND user_number = $2",
                &[&found.instance, &bound],
            )
            .await?;
        if owner.as_deref() != Some(user.as_str()) {
            return Ok(Bound::ToAnotherUser);
        }
        activity::touch(session, found.instance, found.device, found.active, now).await?;
        return Ok(Bound::Done);
    }
    let number = lock(session, found.instance, user).await?;
    let has: i64 = session
        .known(
            "SELECT count(*) FROM devices WHERE instance = $1 AND user_number = $2 AND platform = $3",
            &[&found.instance, &number, &id.platform().as_str()],
        )
        .await?;
    if has >= i64::from(devices_max) {
        forget(session, found.instance, vec![number]).await?;
        return Ok(Bound::TooManyDevices);
    }
    session
        .execute(
            "UPDATE devices SET user_number = $3, bound_at = $4 WHERE instance = $1 AND device = $2",
            &[&found.instance, &found.device, &number, &now.as_millis()],
        )
        .await?;
    activity::touch(session, found.instance, found.device, found.active, now).await?;
    let event = WebhookEvent::DeviceBound {
        instance,
        device: id,
        user: user.clone(),
    };
    webhooks::raise(session, found.instance, &event).await?;
    Ok(Bound::Done)
}

/// Takes a device from its user, and drops what waits to be sent to it because it was the user's. A retry that is being written
/// holds the device, so none comes in between.
pub(super) async fn unbind(
    session: &Session,
    instance: InstanceId,
    id: DeviceId,
) -> Result<Unbound, Fault> {
    let Some(found) = devices::find_to_change(session, instance, id).await? else {
        return Ok(Unbound::UnknownDevice);
    };
    let Some(number) = found.user else {
        return Ok(Unbound::Nobodys);
    };
    let user: String = session
        .known(
            "SELECT id FROM users WHERE instance = $1 AND user_number = $2",
            &[&found.instance, &number],
        )
        .await?;
    let user = columns::user(user)?;
    session
        .execute(
            "INSERT INTO emptied (instance, publish)
             SELECT DISTINCT instance, publish FROM retries
              WHERE instance = $1 AND device = $2 AND user_number IS NOT NULL",
            &[&found.instance, &found.device],
        )
        .await?;
    session
        .execute(
            "DELETE FROM retries WHERE instance = $1 AND device = $2 AND user_number IS NOT NULL",
            &[&found.instance, &found.device],
        )
        .await?;
    session
        .execute(
            "UPDATE devices SET user_number = NULL, bound_at = NULL WHERE instance = $1 AND device = $2",
            &[&found.instance, &found.device],
        )
        .await?;
    forget(session, found.instance, vec![number]).await?;
    let event = WebhookEvent::DeviceUnbound {
        instance,
        device: id,
        user: user.clone(),
    };
    webhooks::raise(session, found.instance, &event).await?;
    Ok(Unbound::From(user))
}

/// A user has at most some hundred devices, so one transaction is enough. One that is bound meanwhile goes too.
pub(super) async fn delete(
    session: &Session,
    instance: InstanceId,
    user: &UserId,
) -> Result<u64, Fault> {
    let Some(instance) = instances::number(session, instance).await? else {
        return Ok(0);
    };
    let mut deleted = 0;
    loop {
        let found: Vec<i64> = session
            .values(
                "SELECT d.device FROM users u JOIN devices d ON d.instance = u.instance AND d.user_number = u.user_number
                  WHERE u.instance = $1 AND u.id = $2 ORDER BY d.device",
                &[&instance, &user.as_str()],
            )
            .await?;
        if found.is_empty() {
            return Ok(deleted);
        }
        let removal = Some(Removal::UserDeleted);
        deleted += devices::remove(session, instance, &found, removal).await?;
    }
}
