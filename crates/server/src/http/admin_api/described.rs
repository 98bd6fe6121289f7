//! The description of the admin API: its calls.

use utoipa::OpenApi;

use super::{
    audit, credentials, devices, insights, instances, publishes, secret_keys, tokens, users,
    webhooks,
};

/// All calls of the admin API.
#[derive(OpenApi)]
#[openapi(
    paths(
        instances::list,
        instances::create,
        instances::show,
        instances::rename,
        instances::delete,
        secret_keys::list,
        secret_keys::add,
        secret_keys::revoke,
        credentials::list,
        credentials::set_apns,
        credentials::set_fcm,
        credentials::check,
        devices::list,
        devices::show,
        devices::delete,
        devices::test,
        users::list,
        users::show,
        users::delete,
        insights::show,
        users::forget,
        users::export,
        publishes::list,
        publishes::publish,
        publishes::show,
        publishes::cancel,
        publishes::failures,
        publishes::replay,
        tokens::list,
        tokens::create,
        tokens::revoke,
        audit::all,
        audit::of_instance,
        webhooks::list,
        webhooks::add,
        webhooks::remove,
        webhooks::enable,
        webhooks::disable,
        webhooks::test,
        webhooks::deliveries,
        webhooks::replay,
    ),
    security(("admin_token" = []))
)]
pub(crate) struct Described;
