//! Everything secret that the emulator makes: its CA, Apple's signing key, Google's service account.
//!
//! Keys live in files so that a restart keeps the trust that others were given; what depends on ports (`env.sh`, the
//! `token_uri`) is written anew each time. Invariant: an existing key is used or refused, never overwritten, and a
//! private file is readable by its owner alone.

mod authority;
mod files;
mod provider_key;
mod service_account;

pub(crate) use authority::Authority;
pub(crate) use files::{Directory, env_file};
pub(crate) use provider_key::ProviderKey;
pub(crate) use service_account::ServiceAccount;
