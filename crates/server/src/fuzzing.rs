//! Doors for the fuzz targets to readers that only the HTTP side has.
//!
//! Only in builds with the feature `fuzzing`, which nothing that is shipped has.

use domain::device::DeviceId;
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::user::UserId;

/// The device and the interest that the path of a request names, if they are such.
pub fn interest_path(path: &str) -> Option<(InstanceId, DeviceId, InterestName)> {
    crate::http::fuzzing::interest_path(path)
}

/// The user that the path of a request names, from a caller that encodes a space as a plus, or from another.
pub fn user_path(path: &str, encodes_as_forms: bool) -> Option<UserId> {
    crate::http::fuzzing::user_path(path, encodes_as_forms)
}
