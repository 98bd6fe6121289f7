//! Gateways whose answers a test makes up, for simulations of what lies above them.
//!
//! Behind the feature `simulation`, which only development dependencies switch on. A script sees what a gateway would be
//! handed and says what becomes of it; it knows nothing of connections, and there are none.

use std::fmt;

use domain::device::Platform;
use futures_util::future::BoxFuture;

use crate::{Attempt, Delivery, Post, Posted};

/// Answers deliveries in place of the gateways.
pub trait Script: Send + Sync + fmt::Debug {
    /// What becomes of a delivery, and when. Dropping the future gives the attempt up, as it gives a request up.
    fn send<'a>(&'a self, platform: Platform, delivery: &'a Delivery<'a>)
    -> BoxFuture<'a, Attempt>;

    /// What the receiver of a webhook answers. Unless told otherwise, it takes everything.
    fn post<'a>(&'a self, post: &'a Post<'a>) -> BoxFuture<'a, Posted> {
        let _ = post;
        Box::pin(std::future::ready(Posted::Answered(200)))
    }

    /// How many sends are useful at once now.
    fn in_flight_limit(&self, platform: Platform) -> usize;
}
