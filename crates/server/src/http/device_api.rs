//! What client SDKs call: devices, their interests, their user.
//!
//! Nothing here asks for a credential, except binding a user: who knows a device's id may act for the device. `{instance}`,
//! `{platform}` and `{device}` come from `…/instances/{instance}/devices/{platform}/{device}`.

mod devices;
mod interests;
mod metadata;
mod token;
mod user;
mod vapid;

#[cfg(feature = "fuzzing")]
pub(crate) use devices::registration;
#[cfg(feature = "fuzzing")]
pub(crate) use interests::{OneInterest, named as interests_named, one as one_interest};

use utoipa_axum::routes;

use super::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(routes!(vapid::show))
        .with(routes!(devices::register))
        .with(routes!(devices::show, devices::delete))
        .with(routes!(metadata::replace))
        .with(routes!(token::replace))
        .with(routes!(user::bind))
        .with(routes!(interests::list, interests::replace))
        .with(routes!(interests::add_nameless, interests::remove_nameless))
        .with(routes!(interests::add, interests::remove))
}
