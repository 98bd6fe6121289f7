//! Who is signed in, and how far they may go: the dashboard's side of admin tokens.

use domain::admin_token::{AdminToken, AdminTokenDigest};
use domain::instance::InstanceId;

use super::error::PageError;
use crate::admin::access::Access;
use crate::admin::actor::Actor;
use crate::admin::error::AdminError;
use crate::admin::{links, tokens};
use crate::http::Api;

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    token: AdminTokenDigest,
    access: Access,
    name: String,
}

impl Visitor {
    /// What people call the admin token.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What they may do.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// Who they are to the audit log.
    pub(super) fn actor(&self) -> &Actor {
        &self.access.actor
    }

    pub(super) fn reaches(&self, instance: InstanceId) -> bool {
        self.access.scope.reaches(instance)
    }

    pub(super) fn may_write(&self) -> bool {
        self.access.scope.may_write()
    }

    pub(super) fn is_full(&self) -> bool {
        self.access.scope.is_full()
    }
}

/// The visitor with this admin token, as long as it counts.
pub(super) async fn visitor(
    api: &Api,
    token: AdminTokenDigest,
) -> Result<Option<Visitor>, PageError> {
    let found = api.store().admin_token(token).await?;
    let now = api.now();
    let counts = |end| now < end;
    let Some(record) = found.filter(|record| record.token.expires_at.is_none_or(counts)) else {
        return Ok(None);
    };
    let name = record.token.name.as_str().to_owned();
    let actor = Actor::Session {
        token: record.id.0,
        name: name.clone(),
    };
    let access = Access {
        actor,
        scope: record.token.scope,
    };
    Ok(Some(Visitor {
        token,
        access,
        name,
    }))
}

/// Whether a visitor whose page is still open may still look at an instance.
pub(super) async fn still_reaches(
    api: &Api,
    visitor: &Visitor,
    instance: InstanceId,
) -> Result<bool, PageError> {
    let now = self::visitor(api, visitor.token).await?;
    Ok(now.is_some_and(|now| now.reaches(instance)))
}

/// What an admin token that somebody shows is known by, if it counts.
pub(super) async fn recognise(
    api: &Api,
    shown: &str,
) -> Result<Option<AdminTokenDigest>, PageError> {
    match tokens::recognise(api.admin(), shown).await {
        Ok(_) => Ok(AdminToken::parse(shown).ok().map(|token| token.digest())),
        Err(AdminError::Unauthorized) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the session of somebody who comes by a link is known by, if the link counts. Uses the link up.
pub(super) async fn redeem(api: &Api, code: &str) -> Result<Option<AdminTokenDigest>, PageError> {
    match links::redeem(api.admin(), code).await {
        Ok(digest) => Ok(Some(digest)),
        Err(AdminError::Unauthorized) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a link's code counts. Uses nothing up.
pub(super) async fn is_good(api: &Api, code: &str) -> Result<bool, PageError> {
    Ok(links::is_good(api.admin(), code).await?)
}

/// Whether there is any admin token yet.
pub(super) async fn is_any(api: &Api) -> Result<bool, PageError> {
    Ok(links::is_anybody(api.admin()).await?)
}
