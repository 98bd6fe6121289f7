//! What a store keeps of devices, users and subscriptions.

use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceMetadata};
use domain::interest::InterestName;
use domain::user::UserId;

/// The answer to a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The device's id: the same as before if the gateway token was known.
    pub id: DeviceId,
    /// Whether the gateway token was unknown.
    pub new: bool,
    /// The interests that the device has now, ascending.
    pub interests: Vec<InterestName>,
}

/// A device as kept, without its gateway token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Its id.
    pub id: DeviceId,
    /// Its user, if one was bound.
    pub user: Option<UserId>,
    /// What its SDK told of it.
    pub metadata: DeviceMetadata,
    /// When it registered first.
    pub created_at: Timestamp,
    /// When it registered last.
    pub registered_at: Timestamp,
}

/// What became of a change to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Changed {
    /// It was made (or was already so).
    Done,
    /// The instance has no such device.
    UnknownDevice,
    /// The device would have more interests than allowed; nothing was changed.
    TooManyInterests,
}

/// What became of binding a device to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Bound {
    /// The device belongs to the user, newly or already.
    Done,
    /// The instance has no such device.
    UnknownDevice,
    /// The device belongs to another user; nothing was changed.
    ToAnotherUser,
    /// The user has as many devices of this platform as allowed; nothing was changed.
    TooManyDevices,
}

/// Some of a device's interests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterestPage {
    /// Ascending by bytes.
    pub interests: Vec<InterestName>,
    /// Whether there are more behind the last one.
    pub more: bool,
}
