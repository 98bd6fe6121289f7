//! Sign-in links: how a browser gets into the dashboard without anybody copying an admin token.
//!
//! A link's code is kept as its digest among the admin tokens, in the store, so that every node knows it, it is listed, and it
//! can be revoked; what may be shown of it begins with `hsl_`, which no admin token does, and nothing but the sign-in page takes
//! it. Who revokes it is who comes in, so it works once, on whichever node; an admin token whose text nobody ever sees takes its
//! place, and the session is that token's: listed under the link's name, revocable, and over after [`SIGNED_IN_LIFE`].

use std::sync::Arc;
use std::time::Duration;

use domain::admin_token::{
    AdminToken, AdminTokenDigest, AdminTokenName, SIGN_IN_CODE_PREFIX, Scope, SignInCode,
};
use domain::clock::Timestamp;
use serde::Serialize;
use store::StoreError;
use store::administration::{AdminTokenRecord, NewAdminToken};
use utoipa::ToSchema;

use super::Admin;
use super::actor::{Actor, Deed};
use super::error::AdminError;
use super::tokens::add;

/// How long a link counts.
pub const LINK_LIFE: Duration = Duration::from_secs(15 * 60);
/// How long somebody who came by a link may come back, at most; a session that is not used ends earlier.
pub const SIGNED_IN_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// What a link of a first start is called.
const FIRST: &str = "first sign-in";
/// What is shown in the place of the first characters of a token that has no text for anybody.
const BY_LINK_HINT: &str = "hsb_…";

/// A sign-in link that was just made. The only answer that has it.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Its number among the admin tokens, by which it is revoked.
    pub number: i64,
    /// Where a browser goes to sign in, once.
    pub url: String,
    /// From when on it counts no more.
    #[schema(format = "date-time")]
    pub expires_at: String,
}

/// The path and query of the sign-in page with a code.
fn path(code: &SignInCode) -> String {
    format!("/sign-in?link={}", code.reveal())
}

/// Whether it is a link, rather than something that lets anybody in by itself.
fn is_link(record: &AdminTokenRecord) -> bool {
    record.token.hint.starts_with(SIGN_IN_CODE_PREFIX)
}

fn counts(record: &AdminTokenRecord, now: Timestamp) -> bool {
    record.token.expires_at.is_none_or(|end| now < end)
}

/// Whether there is an admin token that counts; a link that nobody has followed yet is none.
pub async fn is_anybody(admin: &Admin) -> Result<bool, AdminError> {
    let look = async || {
        let now = admin.now();
        let all = admin.store.admin_tokens().await.map_err(Arc::new)?;
        let lets_in = |record: &AdminTokenRecord| !is_link(record) && counts(record, now);
        Ok(all.iter().any(lets_in))
    };
    let is_anybody = admin.anybody.ask(look).await;
    Ok(is_anybody.map_err(|error| StoreError::shared(&error))?)
}

/// Makes a link to the dashboard at `public_url`.
pub async fn create(
    admin: &Admin,
    actor: &Actor,
    public_url: &str,
    name: AdminTokenName,
    scope: Scope,
) -> Result<Link, AdminError> {
    clear(admin, actor, |record, now| !counts(record, now)).await?;
    let (code, now) = (SignInCode::random(), admin.now());
    let expires_at = now.after(LINK_LIFE);
    let new = NewAdminToken {
        digest: code.digest(),
        hint: code.hint(),
        name,
        scope,
        created_at: now,
        expires_at: Some(expires_at),
    };
    let deed = Deed::new("sign_in_link.create").on(&new.hint);
    let id = add(admin, new, deed.entry(actor, now)).await?;
    tracing::info!(%actor, token = id.0, "made a sign-in link");
    Ok(Link {
        number: id.0,
        url: format!("{public_url}{}", path(&code)),
        expires_at: expires_at.to_string(),
    })
}

/// Makes a link for whoever starts a server into which nobody can sign in yet; none where somebody can.
pub async fn first(admin: &Admin, public_url: &str) -> Result<Option<Link>, AdminError> {
    if is_anybody(admin).await? {
        return Ok(None);
    }
    let name = AdminTokenName::parse(FIRST).map_err(|error| AdminError::field("name", error))?;
    let link = create(admin, &Actor::CommandLine, public_url, name, Scope::FULL).await?;
    Ok(Some(link))
}

/// Whether a code would let somebody in now. Uses nothing up.
pub async fn is_good(admin: &Admin, text: &str) -> Result<bool, AdminError> {
    Ok(found(admin, text).await?.is_some())
}

async fn found(admin: &Admin, text: &str) -> Result<Option<AdminTokenRecord>, AdminError> {
    let Some(digest) = SignInCode::parse(text).map(|code| code.digest()) else {
        return Ok(None);
    };
    let now = admin.now();
    let look = admin.store.admin_token(digest);
    let counts = |record: &AdminTokenRecord| counts(record, now);
    admin.strangers.find(digest, look, counts).await
}

/// Signs in by a code, which works once: what the session's admin token is known by.
pub async fn redeem(admin: &Admin, text: &str) -> Result<AdminTokenDigest, AdminError> {
    let unknown = || admin.strangers.refuse();
    let link = found(admin, text).await?.ok_or_else(unknown)?;
    let is_first = !is_anybody(admin).await?;
    let own = admin.clone();
    let by_link = admin.to_the_end(async move { replace(&own, link, is_first).await });
    by_link.await?.ok_or_else(unknown)
}

/// Puts a session's token in the place of a link; none if somebody else has used the link meanwhile.
async fn replace(
    admin: &Admin,
    link: AdminTokenRecord,
    is_first: bool,
) -> Result<Option<AdminTokenDigest>, AdminError> {
    let (id, now) = (link.id, admin.now());
    let actor = Actor::Session {
        token: id.0,
        name: link.token.name.as_str().to_owned(),
    };
    let used = Deed::new("sign_in_link.use").on(&link.token.hint);
    let used = used.entry(&actor, now);
    if !admin.store.revoke_admin_token(id, used).await? {
        return Ok(None);
    }
    if is_first {
        // What other nodes printed at their first start would be spare keys.
        clear(admin, &actor, |record, _| is_link(record)).await?;
    }
    let token = NewAdminToken {
        digest: AdminToken::random().digest(),
        hint: BY_LINK_HINT.to_owned(),
        created_at: now,
        expires_at: Some(now.after(SIGNED_IN_LIFE)),
        ..link.token
    };
    let digest = token.digest;
    let deed = Deed::new("admin_token.create").on(BY_LINK_HINT);
    let by = add(admin, token, deed.entry(&actor, now)).await?;
    tracing::info!(%actor, token = by.0, "signed in by a link");
    Ok(Some(digest))
}

/// Removes, of links and of what took their places, those that are `wanted`, so that they take no room.
async fn clear(
    admin: &Admin,
    actor: &Actor,
    wanted: impl Fn(&AdminTokenRecord, Timestamp) -> bool,
) -> Result<(), AdminError> {
    let now = admin.now();
    for record in admin.store.admin_tokens().await? {
        let ours = is_link(&record) || record.token.hint == BY_LINK_HINT;
        if ours && wanted(&record, now) {
            let deed = Deed::new("sign_in_link.end").on(&record.token.hint);
            let entry = deed.entry(actor, now);
            admin.store.revoke_admin_token(record.id, entry).await?;
        }
    }
    Ok(())
}
