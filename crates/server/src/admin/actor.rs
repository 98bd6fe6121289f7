//! Who changes something, and what they do: the two halves of an entry of the audit log.

use std::fmt;

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::user::UserId;
use store::administration::{AdminTokenId, NewAuditEntry};

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Somebody with the database and the master key in hand, on the command line: the root of all trust.
    CommandLine,
    /// Somebody, or some script, with an admin token.
    Token {
        /// The token's number.
        token: i64,
        /// What people call the token.
        name: String,
    },
    /// Somebody on the dashboard, signed in with an admin token.
    Session {
        /// The token's number.
        token: i64,
        /// What people call the token.
        name: String,
    },
}

impl Actor {
    /// The word for its kind, used in SQL, JSON and pages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::CommandLine => "command_line",
            Self::Token { .. } => "token",
            Self::Session { .. } => "session",
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Token { token, .. } => write!(f, "token {token}"),
            Self::Session { token, .. } => write!(f, "session of token {token}"),
        }
    }
}

/// What somebody does.
#[derive(Debug, Clone)]
#[must_use]
pub struct Deed {
    pub(crate) action: &'static str,
    pub(crate) instance: Option<InstanceId>,
    pub(crate) subject: Option<String>,
    pub(crate) user: Option<UserId>,
}

impl Deed {
    /// A deed by its name: the noun, a point, the verb, as in `secret_key.revoke`.
    pub const fn new(action: &'static str) -> Self {
        Self {
            action,
            instance: None,
            subject: None,
            user: None,
        }
    }

    /// In which instance.
    pub fn at(mut self, instance: InstanceId) -> Self {
        self.instance = Some(instance);
        self
    }

    /// To what: a number, an id, a name. Never a secret, and never a user's id.
    pub fn on(mut self, subject: impl fmt::Display) -> Self {
        self.subject = Some(subject.to_string());
        self
    }

    /// The entry that tells of it.
    pub(crate) fn entry(&self, actor: &Actor, at: Timestamp) -> NewAuditEntry {
        let (token, token_name) = match actor {
            Actor::CommandLine => (None, None),
            Actor::Token { token, name } | Actor::Session { token, name } => {
                (Some(AdminTokenId(*token)), Some(name.clone()))
            }
        };
        NewAuditEntry {
            at,
            actor: actor.kind().to_owned(),
            token,
            token_name,
            action: self.action.to_owned(),
            instance: self.instance,
            subject: self.subject.clone(),
            user: self.user.clone(),
        }
    }

    /// To which user. Kept apart from the rest, because a user may ask to be forgotten.
    pub fn to(mut self, user: UserId) -> Self {
        self.user = Some(user);
        self
    }
}
