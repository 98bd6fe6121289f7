//! What people and scripts call to manage: everything that the command line and the dashboard do, over HTTP.
//!
//! Every handler takes one of the extractors of [`access`], which is how it is known that whoever asks may. It then calls one
//! function of [`crate::admin`]. The command line goes through these handlers too, without a network in between where it has
//! the database at hand, so that both ways are one.

pub(crate) mod access;
mod audit;
mod credentials;
mod deliveries;
mod devices;
mod insights;
mod instances;
mod publishes;
mod secret_keys;
mod tokens;
mod users;
mod webhooks;

use utoipa_axum::routes;

use super::routes::Routes;

/// The largest body of a call that has no limit of its own, in bytes: a service account has about 2.5 KiB.
const BODY_LENGTH_MAX: usize = 64 * 1024;

type Object = super::extract::JsonObject<BODY_LENGTH_MAX>;

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(routes!(instances::list, instances::create))
        .with(routes!(
            instances::show,
            instances::rename,
            instances::delete
        ))
        .with(routes!(secret_keys::list, secret_keys::add))
        .with(routes!(secret_keys::revoke))
        .with(routes!(credentials::list))
        .with(routes!(credentials::set_apns))
        .with(routes!(credentials::set_fcm))
        .with(routes!(credentials::check))
        .with(routes!(devices::list))
        .with(routes!(devices::show, devices::delete))
        .with(routes!(devices::test))
        .with(routes!(devices::unbind))
        .with(routes!(users::list))
        .with(routes!(users::show, users::delete))
        .with(routes!(users::forget))
        .with(routes!(users::export))
        .with(routes!(insights::show))
        .with(routes!(publishes::list, publishes::publish))
        .with(routes!(publishes::show, publishes::cancel))
        .with(routes!(publishes::failures))
        .with(routes!(publishes::replay))
        .with(routes!(webhooks::list, webhooks::add))
        .with(routes!(webhooks::show, webhooks::change, webhooks::remove))
        .with(routes!(webhooks::enable))
        .with(routes!(webhooks::disable))
        .with(routes!(deliveries::test))
        .with(routes!(deliveries::list))
        .with(routes!(deliveries::show))
        .with(routes!(deliveries::replay))
        .with(routes!(deliveries::replay_failed))
        .with(routes!(audit::of_instance))
        .with(routes!(audit::all))
        .with(routes!(tokens::list, tokens::create))
        .with(routes!(tokens::revoke))
        .with(routes!(tokens::link))
        .proven_by("admin_token")
}
