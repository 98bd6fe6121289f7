//! No transparent huge pages: memory stays what is used.
//!
//! The kernel backs a stretch of 2 MiB as a whole once a part of it is in use, and looks for more such stretches behind the
//! allocator's back. That made the server larger, and is the likely reason why it grew by a step in an hour of faults
//! (docs/PERFORMANCE.md, "The soak").

/// Forgoes them, for every command. A kernel that has none, or a sandbox that forbids to ask, changes nothing but memory.
#[cfg(target_os = "linux")]
pub(crate) fn forgo() {
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Other systems have others, and no such switch.
#[cfg(not(target_os = "linux"))]
pub(crate) fn forgo() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn there_are_none() {
        forgo();
        assert_eq!(
            rustix::thread::transparent_huge_pages_are_disabled(),
            Ok(true)
        );
    }
}
