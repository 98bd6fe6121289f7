//! `/device_api/v1/instances/{instance}/…`

mod devices;
mod interests;
mod metadata;
mod probing;
mod token;
mod user;
mod vapid;
