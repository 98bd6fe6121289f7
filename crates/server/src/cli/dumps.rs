//! No core dumps: what this process remembers are keys, and a dump would write them to a disk.
//!
//! Two locks, since either may be missing. A process that is not dumpable is not dumped, whatever collects dumps; nor can another
//! process of the same user read its memory. A limit of zero holds for files beside that. Where the operator wants dumps, to
//! find a bug, a setting takes both off again.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Puts the locks on, for every command. What fails is told where the configuration is known; see [`settle`].
pub(crate) fn forbid() {
    let limit = getrlimit(Resource::Core);
    let none = Rlimit {
        current: Some(0),
        ..limit
    };
    // A sandbox may forbid to ask. Then the other lock holds, and the sandbox's own limit.
    let _ = setrlimit(Resource::Core, none);
    let _ = set_dumpable(false);
}

/// Takes the locks off where the configuration says so, and else makes the limit one that nobody can raise. A line if
/// neither lock is on.
pub(crate) fn settle(wanted: bool) -> Option<&'static str> {
    let limit = getrlimit(Resource::Core);
    if wanted {
        let all = Rlimit {
            current: limit.maximum,
            ..limit
        };
        let undone = setrlimit(Resource::Core, all).is_err() || set_dumpable(true).is_err();
        return undone.then_some("core dumps are wanted, and the system does not allow them");
    }
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let undone = setrlimit(Resource::Core, none).is_err() && set_dumpable(false).is_err();
    undone.then_some("core dumps cannot be switched off; what is dumped has keys in it")
}

#[cfg(target_os = "linux")]
fn set_dumpable(may: bool) -> rustix::io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    set_dumpable_behavior(if may {
        DumpableBehavior::Dumpable
    } else {
        DumpableBehavior::NotDumpable
    })
}

#[cfg(not(target_os = "linux"))]
fn set_dumpable(may: bool) -> rustix::io::Result<()> {
    if may {
        Ok(())
    } else {
        Err(rustix::io::Errno::NOTSUP)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    use super::*;

    #[test]
    fn both_locks_are_on() {
        forbid();
        let seen = (dumpable_behavior(), getrlimit(Resource::Core).current);
        // Others test in this process, too, and may want to look into it.
        let _ = set_dumpable(true);
        assert_eq!(seen, (Ok(DumpableBehavior::NotDumpable), Some(0)));
    }
}
