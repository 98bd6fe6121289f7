//! Admin tokens: made, listed, revoked, and recognised.
//!
//! A token is looked up in the store with every request, so that one that was revoked counts nowhere any more from the next
//! request on. It is found by its digest; what a caller can learn from how long that takes is the digest of something that it
//! knows already. When a token was used is written down once a minute at most.

use std::time::Duration;

use domain::admin_token::{AdminToken, AdminTokenName, Reach, Scope};
use domain::clock::Timestamp;
use serde::Serialize;
use store::administration::{
    ADMIN_TOKENS_MAX, AdminTokenId, AdminTokenRecord, NewAdminToken, NewAuditEntry,
};
use utoipa::ToSchema;

use super::Admin;
use super::access::Access;
use super::actor::{Actor, Deed};
use super::error::AdminError;

/// How exactly it is known when a token was used last.
const USED_WITHIN: Duration = Duration::from_secs(60);

/// An admin token, without the token.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Its number, by which it is revoked.
    pub number: i64,
    /// What people call it.
    pub name: String,
    /// Its first characters.
    pub hint: String,
    /// The UUIDs of the instances that it is for; null for all.
    pub instances: Option<Vec<String>>,
    /// `read`, or `write` for reading and writing.
    pub may: &'static str,
    /// When it was created.
    #[schema(format = "date-time")]
    pub created_at: String,
    /// From when on it counts no more.
    #[schema(format = "date-time")]
    pub expires_at: Option<String>,
    /// When it was used last, to the minute.
    #[schema(format = "date-time")]
    pub used_at: Option<String>,
}

/// An admin token that was just created. The only answer that has it.
#[derive(Clone, Serialize, ToSchema)]
pub struct CreatedToken {
    /// What is listed of it.
    #[serde(flatten)]
    pub listed: Token,
    /// The token, which is not shown again.
    #[schema(value_type = String)]
    pub token: zeroize::Zeroizing<String>,
}

/// An admin token to be created.
#[derive(Debug, Clone)]
pub struct New {
    /// What people call it.
    pub name: AdminTokenName,
    /// How far it goes.
    pub scope: Scope,
    /// From when on it counts no more.
    pub expires_at: Option<Timestamp>,
}

impl Token {
    /// What may be shown of a token.
    pub fn of(record: &AdminTokenRecord) -> Self {
        let token = &record.token;
        let text = |at: Timestamp| at.to_string();
        Self {
            number: record.id.0,
            name: token.name.as_str().to_owned(),
            hint: token.hint.clone(),
            instances: match &token.scope.reach {
                Reach::All => None,
                Reach::Some(some) => Some(some.iter().map(ToString::to_string).collect()),
            },
            may: token.scope.right.as_str(),
            created_at: text(token.created_at),
            expires_at: token.expires_at.map(text),
            used_at: record.used_at.map(text),
        }
    }
}

/// Who shows this token, if it counts now.
pub async fn recognise(admin: &Admin, text: &str) -> Result<Access, AdminError> {
    let now = admin.now();
    let counts = |record: &AdminTokenRecord| record.token.expires_at.is_none_or(|end| now < end);
    let record = match AdminToken::parse(text) {
        Ok(token) => {
            let digest = token.digest();
            let look = admin.store.admin_token(digest);
            admin.strangers.find(digest, look, counts).await?
        }
        Err(_) => None,
    };
    let record = record.ok_or_else(|| admin.strangers.refuse())?;
    let is_news = |used: Timestamp| now.since(used) >= USED_WITHIN;
    if record.used_at.is_none_or(is_news)
        && let Err(error) = admin.store.touch_admin_token(record.id, now).await
    {
        tracing::warn!(%error, "that an admin token was used could not be written down");
    }
    Ok(Access {
        actor: Actor::Token {
            token: record.id.0,
            name: record.token.name.as_str().to_owned(),
        },
        scope: record.token.scope,
    })
}

/// Creates a token.
pub async fn create(admin: &Admin, actor: &Actor, new: New) -> Result<CreatedToken, AdminError> {
    let now = admin.now();
    if new.expires_at.is_some_and(|end| end <= now) {
        return Err(AdminError::field("expiresAt", "is in the past"));
    }
    let token = AdminToken::random();
    let record = NewAdminToken {
        digest: token.digest(),
        hint: token.hint(),
        name: new.name,
        scope: new.scope,
        created_at: now,
        expires_at: new.expires_at,
    };
    let deed = Deed::new("admin_token.create").on(record.hint.as_str());
    let entry = deed.entry(actor, now);
    let id = add(admin, record.clone(), entry).await?;
    tracing::info!(%actor, token = id.0, "created an admin token");
    Ok(CreatedToken {
        listed: Token::of(&AdminTokenRecord {
            id,
            token: record,
            used_at: None,
        }),
        token: token.reveal().to_owned().into(),
    })
}

/// Writes a token down, if it is for anything and there is room.
pub(super) async fn add(
    admin: &Admin,
    new: NewAdminToken,
    entry: NewAuditEntry,
) -> Result<AdminTokenId, AdminError> {
    if matches!(&new.scope.reach, Reach::Some(some) if some.is_empty()) {
        return Err(AdminError::field("instances", "has none"));
    }
    let added = admin.store.add_admin_token(new, entry).await?;
    added.ok_or_else(|| {
        AdminError::Conflict(format!(
            "there are {ADMIN_TOKENS_MAX} admin tokens already; revoke some first"
        ))
    })
}

/// All tokens, oldest first.
pub async fn list(admin: &Admin) -> Result<Vec<Token>, AdminError> {
    let all = admin.store.admin_tokens().await?;
    Ok(all.iter().map(Token::of).collect())
}

/// Revokes a token: it counts no more from the next request on.
pub async fn revoke(admin: &Admin, actor: &Actor, id: AdminTokenId) -> Result<(), AdminError> {
    let entry: NewAuditEntry = Deed::new("admin_token.revoke")
        .on(id.0)
        .entry(actor, admin.now());
    if !admin.store.revoke_admin_token(id, entry).await? {
        return Err(AdminError::NotFound {
            what: "admin token",
        });
    }
    tracing::info!(%actor, token = id.0, "revoked an admin token");
    Ok(())
}
