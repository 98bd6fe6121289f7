//! What a node does of what there is to do.

use std::fmt;

/// The parts a node takes; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// It answers requests of apps and their backends.
    pub api: bool,
    /// It delivers.
    pub worker: bool,
}

impl Roles {
    /// Both.
    pub const ALL: Self = Self {
        api: true,
        worker: true,
    };

    /// Reads a list of roles.
    pub(super) fn parse(words: &[String]) -> Result<Self, String> {
        let mut roles = Self {
            api: false,
            worker: false,
        };
        for word in words {
            match word.as_str() {
                "api" => roles.api = true,
                "worker" => roles.worker = true,
                other => {
                    return Err(format!(
                        "{other:?} is no role; the roles are api and worker"
                    ));
                }
            }
        }
        if roles.api || roles.worker {
            Ok(roles)
        } else {
            Err("must have at least one of api and worker".into())
        }
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.api, self.worker) {
            (true, false) => "api",
            (false, true) => "worker",
            _ => "api,worker",
        })
    }
}
