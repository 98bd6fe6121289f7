//! What people and scripts call to manage: everything that the command line and the dashboard do, over HTTP.
//!
//! Every handler takes one of the extractors of [`access`], which is how it is known that whoever asks may. It then calls one
//! function of [`crate::admin`]. The command line goes through these handlers too, without a network in between where it has
//! the database at hand, so that both ways are one.

pub(crate) mod access;
mod audit;
mod credentials;
mod described;
mod devices;
mod insights;
mod instances;
mod publishes;
mod secret_keys;
mod tokens;
mod users;
mod webhooks;

use axum::Router;
use axum::routing::{delete, get, post, put};

use super::Api;

pub(super) use described::Described;

/// The largest body of a call that has no limit of its own, in bytes: a service account has about 2.5 KiB.
const BODY_LENGTH_MAX: usize = 64 * 1024;

type Object = super::extract::JsonObject<BODY_LENGTH_MAX>;

pub(super) fn routes() -> Router<Api> {
    let instances = "/admin_api/v1/instances";
    let at = |rest: &str| format!("{instances}/{{instance}}{rest}");
    Router::new()
        .route(instances, get(instances::list).post(instances::create))
        .route(
            &at(""),
            get(instances::show)
                .patch(instances::rename)
                .delete(instances::delete),
        )
        .route(
            &at("/secret-keys"),
            get(secret_keys::list).post(secret_keys::add),
        )
        .route(&at("/secret-keys/{number}"), delete(secret_keys::revoke))
        .route(&at("/credentials"), get(credentials::list))
        .route(&at("/credentials/apns"), put(credentials::set_apns))
        .route(&at("/credentials/fcm"), put(credentials::set_fcm))
        .route(
            &at("/credentials/{platform}/check"),
            post(credentials::check),
        )
        .route(&at("/devices"), get(devices::list))
        .route(&at("/devices/{device}/test"), post(devices::test))
        .route(
            &at("/devices/{device}"),
            get(devices::show).delete(devices::delete),
        )
        .route(&at("/users"), get(users::list))
        .route(&at("/users/{user}"), get(users::show).delete(users::delete))
        .route(&at("/users/{user}/forget"), post(users::forget))
        .route(&at("/users/{user}/export"), get(users::export))
        .route(&at("/insights"), get(insights::show))
        .route(&at("/audit-log"), get(audit::of_instance))
        .route("/admin_api/v1/audit-log", get(audit::all))
        .route(
            "/admin_api/v1/admin-tokens",
            get(tokens::list).post(tokens::create),
        )
        .route(
            "/admin_api/v1/admin-tokens/{number}",
            delete(tokens::revoke),
        )
        .route(
            &at("/publishes"),
            get(publishes::list).post(publishes::publish),
        )
        .route(
            &at("/publishes/{publish}"),
            get(publishes::show).delete(publishes::cancel),
        )
        .route(
            &at("/publishes/{publish}/failures"),
            get(publishes::failures),
        )
        .route(&at("/publishes/{publish}/replay"), post(publishes::replay))
        .route(&at("/webhooks"), get(webhooks::list).post(webhooks::add))
        .route(&at("/webhooks/{webhook}"), delete(webhooks::remove))
        .route(&at("/webhooks/{webhook}/enable"), post(webhooks::enable))
        .route(&at("/webhooks/{webhook}/disable"), post(webhooks::disable))
        .route(&at("/webhooks/{webhook}/test"), post(webhooks::test))
        .route(
            &at("/webhooks/{webhook}/deliveries"),
            get(webhooks::deliveries),
        )
        .route(
            &at("/webhooks/{webhook}/deliveries/{delivery}/replay"),
            post(webhooks::replay),
        )
}
