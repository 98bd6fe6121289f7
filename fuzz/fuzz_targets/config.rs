//! The invariants are in `heliostat_fuzz::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heliostat_fuzz::config::check(data));
