//! The description of the admin API: its calls.

use utoipa::OpenApi;

use super::{credentials, devices, insights, instances, publishes, secret_keys, users};

/// All calls of the admin API.
#[derive(OpenApi)]
#[openapi(
    paths(
        instances::list,
        instances::create,
        instances::show,
        instances::delete,
        secret_keys::list,
        secret_keys::add,
        secret_keys::revoke,
        credentials::list,
        credentials::set_apns,
        credentials::set_fcm,
        devices::show,
        devices::delete,
        users::delete,
        insights::show,
        publishes::list,
        publishes::publish,
        publishes::show,
        publishes::cancel,
        publishes::failures,
        publishes::replay,
    ),
    security(("admin_token" = []))
)]
pub(crate) struct Described;
