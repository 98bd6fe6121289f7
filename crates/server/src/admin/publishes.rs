//! Publishes: make one, call one off, send one again.

use delivery::runner::{Replay, Taken};
use domain::idempotency::Idempotency;
use domain::instance::InstanceId;
use domain::publish::{PublishId, PublishRequest};
use store::lookup::Cancelled;

use super::Admin;
use super::actor::{Actor, Deed};
use super::error::AdminError;

/// How many publishes one answer to a search looks at.
pub const SEARCH_DEPTH: usize = 1000;
/// The longest part of a title that is searched for, in bytes.
pub const TITLE_LENGTH_MAX: usize = 200;

const UNKNOWN: AdminError = AdminError::NotFound { what: "publish" };

/// What was asked for with the key of another request.
fn reused() -> AdminError {
    AdminError::Conflict("this was sent already, with other words; check it again first".into())
}

/// The id of what was taken; none for the key of another request.
const fn id_of(taken: Taken) -> Option<PublishId> {
    match taken {
        Taken::New(id) | Taken::Repeated(id) => Some(id),
        Taken::KeyReused => None,
    }
}

/// Accepts a publish. Its times have been checked.
pub async fn publish(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    request: PublishRequest,
) -> Result<PublishId, AdminError> {
    publish_once(admin, actor, instance, request, None).await
}

/// The same; of requests with the same key, the first is done, and the others are told of its publish.
pub async fn publish_once(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    request: PublishRequest,
    idempotency: Option<Idempotency>,
) -> Result<PublishId, AdminError> {
    let kind = request.audience.kind().as_str();
    let deed = Deed::new("publish.create").at(instance).on(kind);
    let publish = move |admin: Admin| async move {
        let opened = admin.instances.get(instance).await?;
        let opened = opened.ok_or(AdminError::InstanceNotFound)?;
        let taken = admin.runner.publish(&opened, request, idempotency).await?;
        id_of(taken).ok_or_else(reused)
    };
    admin.audited(actor, deed, publish).await
}

/// Calls off what of a publish has not been sent. As often as one likes.
pub async fn cancel(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    id: PublishId,
) -> Result<(), AdminError> {
    let deed = Deed::new("publish.cancel").at(instance).on(id);
    let cancel = move |admin: Admin| async move {
        let cancelled = admin.store.cancel_publish(instance, id, admin.now());
        match cancelled.await? {
            Cancelled::Done => Ok(()),
            Cancelled::Finished => Err(AdminError::Conflict(
                "the publish has finished; there is nothing left to cancel".into(),
            )),
            Cancelled::Unknown => Err(UNKNOWN),
        }
    };
    admin.audited(actor, deed, cancel).await
}

/// Accepts a publish of what another one carries to the devices that it failed for.
pub async fn replay(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    of: PublishId,
) -> Result<PublishId, AdminError> {
    let deed = Deed::new("publish.replay").at(instance).on(of);
    let conflict = |why: &str| Err(AdminError::Conflict(why.into()));
    let replay = move |admin: Admin| async move {
        match admin.runner.replay(instance, of, None).await? {
            Replay::Taken(taken) => id_of(taken).ok_or(UNKNOWN),
            Replay::Unfinished => conflict(
                "the publish has not finished, so not all that fails is known; cancel it or wait",
            ),
            Replay::Expired => {
                conflict("the publish was not to be sent after its `expiresAt`, which is past")
            }
            Replay::Unknown => Err(UNKNOWN),
        }
    };
    admin.audited(actor, deed, replay).await
}
