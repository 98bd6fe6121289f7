//! Where chance comes in, so that a simulation can own it as it owns time.

use std::fmt;
use std::sync::Arc;

/// Throws numbers in `0.0..1.0` that spread retries over time.
#[derive(Clone)]
pub struct Jitter(Arc<dyn Fn() -> f64 + Send + Sync>);

impl Jitter {
    /// Jitter from a source of one's own.
    pub fn new(throw: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(throw))
    }

    pub(crate) fn throw(&self) -> f64 {
        (self.0)()
    }
}

impl Default for Jitter {
    /// Jitter that nobody can foresee.
    fn default() -> Self {
        Self::new(rand::random)
    }
}

impl fmt::Debug for Jitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jitter")
    }
}
