//! Sessions without memory: a cookie that the master key seals names the admin token by its
//! digest, so any node knows it.
//!
//! A session grants nothing by itself. The token that it names is looked up at every request, so revoking the token ends
//! its sessions at once and everywhere.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use delivery::vault::Vault;
use domain::admin_token::AdminTokenDigest;
use domain::clock::Timestamp;
use serde::{Deserialize, Serialize};

use super::form::FormToken;

/// After how long a session in use gets a new cookie.
const OLD_AFTER: Duration = Duration::from_secs(60 * 60);
/// What the sealed bytes are for.
const PURPOSE: &str = "dashboard/session";

/// Who signed in.
#[derive(Debug, Clone)]
pub(super) struct Session {
    token: AdminTokenDigest,
    form_token: FormToken,
    at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    token: String,
    form: String,
    at: i64,
}

impl Session {
    /// How long a session lasts that is not used.
    pub(super) const LIFE: Duration = Duration::from_secs(12 * 60 * 60);

    /// A new session of an admin token.
    pub(super) fn new(token: AdminTokenDigest, now: Timestamp) -> Self {
        Self {
            token,
            form_token: FormToken::random(),
            at: now,
        }
    }

    /// What the admin token is known by.
    pub(super) fn token(&self) -> AdminTokenDigest {
        self.token
    }

    /// What its forms carry.
    pub(super) fn form_token(&self) -> &FormToken {
        &self.form_token
    }

    /// The cookie's value.
    pub(super) fn seal(&self, vault: &Vault) -> Option<String> {
        let stored = Stored {
            token: URL_SAFE_NO_PAD.encode(self.token.as_bytes()),
            form: self.form_token.as_str().to_owned(),
            at: self.at.as_millis(),
        };
        let plain = serde_json::to_vec(&stored).ok()?;
        let sealed = vault.seal_note(PURPOSE, &plain).ok()?;
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The session in a cookie, unless it is not ours or is over.
    pub(super) fn open(vault: &Vault, cookie: &str, now: Timestamp) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(cookie).ok()?;
        let plain = vault.open_note(PURPOSE, sealed).ok()?;
        let stored: Stored = serde_json::from_slice(&plain).ok()?;
        let digest = URL_SAFE_NO_PAD.decode(&stored.token).ok()?;
        let session = Self {
            token: AdminTokenDigest::from_stored(&digest)?,
            form_token: FormToken::parse(&stored.form)?,
            at: Timestamp::from_millis(stored.at),
        };
        (now.since(session.at) < Self::LIFE).then_some(session)
    }

    /// Whether it is time for a new cookie.
    pub(super) fn is_old(&self, now: Timestamp) -> bool {
        now.since(self.at) >= OLD_AFTER
    }

    /// The same session, in use now.
    pub(super) fn renewed(&self, now: Timestamp) -> Self {
        Self {
            at: now,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::admin_token::AdminToken;
    use domain::seal::MasterKey;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    #[test]
    fn a_session_opens_where_it_was_sealed_until_it_is_over() {
        let vault = Vault::new(MasterKey::random());
        let token = AdminToken::random().digest();
        let cookie = Session::new(token, NOW).seal(&vault).unwrap();
        let opened = Session::open(&vault, &cookie, NOW).unwrap();
        assert_eq!(opened.token(), token);
        assert!(Session::open(&Vault::new(MasterKey::random()), &cookie, NOW).is_none());
        assert!(Session::open(&vault, &cookie, NOW.after(Session::LIFE)).is_none());
        let later = NOW.after(OLD_AFTER);
        assert!(opened.is_old(later) && !opened.renewed(later).is_old(later));
    }

    #[test]
    fn what_is_no_session_is_none() {
        let vault = Vault::new(MasterKey::random());
        let other = URL_SAFE_NO_PAD.encode(vault.seal_note("dashboard/other", b"{}").unwrap());
        for cookie in ["", "x", "AAAA", "%%%", other.as_str()] {
            assert!(Session::open(&vault, cookie, NOW).is_none(), "{cookie}");
        }
    }
}
