//! The invariants are in `heliostat_fuzz::json_body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heliostat_fuzz::verdict::tell(
    &heliostat_fuzz::json_body::check(data)
));
