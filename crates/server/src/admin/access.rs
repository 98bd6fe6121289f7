//! What somebody may do: an actor with a scope. Asked before anything is done, by everybody who lets people in.
//!
//! | what | who may |
//! |---|---|
//! | look at an instance | a token that reaches it |
//! | change what is in an instance | one that reaches it and may write |
//! | create or delete instances, manage tokens | one that reaches all instances and may write |
//! | look at what belongs to no single instance | one that reaches all instances |

use domain::admin_token::Scope;
use domain::instance::InstanceId;

use super::actor::Actor;
use super::error::AdminError;

/// Somebody who was let in.
#[derive(Debug, Clone)]
pub struct Access {
    /// Who it is.
    pub actor: Actor,
    /// How far they may go.
    pub scope: Scope,
}

impl Access {
    /// Somebody with the database in hand.
    pub const COMMAND_LINE: Self = Self {
        actor: Actor::CommandLine,
        scope: Scope::FULL,
    };

    /// Whether they may look at an instance.
    pub fn read(&self, instance: InstanceId) -> Result<(), AdminError> {
        allow(self.scope.reaches(instance), "for this instance")
    }

    /// Whether they may change what is in an instance.
    pub fn write(&self, instance: InstanceId) -> Result<(), AdminError> {
        self.read(instance)?;
        allow(self.scope.may_write(), "that may write")
    }

    /// Whether they may look at what belongs to no single instance.
    pub fn read_all(&self) -> Result<(), AdminError> {
        allow(self.scope.reaches_all(), "for all instances")
    }

    /// Whether they may do everything.
    pub fn full(&self) -> Result<(), AdminError> {
        allow(self.scope.is_full(), "for all instances that may write")
    }
}

fn allow(is_allowed: bool, needed: &'static str) -> Result<(), AdminError> {
    if is_allowed {
        Ok(())
    } else {
        Err(AdminError::Forbidden { needed })
    }
}
