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
pub(crate) use interests::{OneInterest, one as one_interest};

use axum::Router;
use axum::routing::{any, get, post, put};

use super::Api;

pub(super) fn routes() -> Router<Api> {
    let instance = "/device_api/v1/instances/{instance}";
    let device = format!("{instance}/devices/{{platform}}/{{device}}");
    let at_device = |rest: &str| format!("{device}{rest}");
    Router::new()
        .route(
            &format!("{instance}/web-vapid-public-key"),
            get(vapid::show),
        )
        .route(
            &format!("{instance}/devices/{{platform}}"),
            post(devices::register),
        )
        .route(&device, get(devices::show).delete(devices::delete))
        .route(&at_device("/metadata"), put(metadata::replace))
        .route(&at_device("/token"), put(token::replace))
        .route(&at_device("/user"), put(user::bind))
        .route(
            &at_device("/interests"),
            get(interests::list).put(interests::replace),
        )
        .route(&at_device("/interests/"), any(interests::nameless))
        .route(
            &at_device("/interests/{*interest}"),
            post(interests::add).delete(interests::remove),
        )
}
