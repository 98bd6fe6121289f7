//! What Heliostat talks about: typed names with their limits, tokens, payloads, outcomes, time.
//!
//! No I/O, no async, no SQL, no HTTP. A value of one of these types has been checked; the code that holds it need not
//! check again.

pub mod admin_token;
pub mod backoff;
pub mod beams_token;
pub mod clock;
pub mod credential;
pub mod device;
pub mod idempotency;
pub mod instance;
pub mod interest;
pub mod jws;
pub mod outcome;
pub mod payload;
pub mod publish;
pub mod seal;
pub mod trace;
pub mod user;
pub mod webhook;
