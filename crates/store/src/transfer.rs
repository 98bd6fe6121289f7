//! What moves in and out of a store in bulk: devices with their users and interests.
//!
//! An import adds and never takes away: it is made from a file that somebody wrote earlier, while devices speak for themselves
//! now. So whatever a device registered later than the file says of it stands, a bound device keeps its user, and
//! interests are only added. That makes importing the same again change nothing.

use domain::clock::Timestamp;
use domain::device::{ApnsEnvironment, BundleId, DeviceId, DeviceMetadata, GatewayToken};
use domain::interest::InterestName;
use domain::user::UserId;

/// A device as a file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceImport {
    /// The id that a device with an unknown gateway token gets.
    pub id: DeviceId,
    /// Whether that id is the one the device knows itself by, and not made up for this import.
    pub id_is_known: bool,
    /// What its gateway addresses it by.
    pub token: GatewayToken,
    /// The app on the device; APNs only.
    pub bundle_id: Option<BundleId>,
    /// Which of Apple's gateways took the token last, where it is known.
    pub environment: Option<ApnsEnvironment>,
    /// What its SDK told of it; `None` leaves what there is.
    pub metadata: Option<DeviceMetadata>,
    /// Its user; `None` leaves the binding that there is.
    pub user: Option<UserId>,
    /// Interests to subscribe it to, beside those it has; each once.
    pub interests: Vec<InterestName>,
    /// When it registered last, where the file tells. Where it does not, any word of a gateway that the token is dead counts.
    pub registered_at: Option<Timestamp>,
}

/// How devices are imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportRules {
    /// How many devices of a platform a user may have.
    pub devices_max: u32,
    /// How many interests a device may have.
    pub interests_max: usize,
    /// Whether to leave what follows a refused device alone.
    pub stop_at_refused: bool,
}

/// What became of a device of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Imported {
    /// It is there.
    Done {
        /// Whether its gateway token was unknown.
        new: bool,
        /// Whether the token was known and keys, bundle identifier, metadata, environment or time of registration changed.
        updated: bool,
        /// Whether it was bound to its user just now.
        bound: bool,
        /// To how many interests it was subscribed just now.
        subscriptions: usize,
    },
    /// Nothing was changed.
    Refused(ImportRefusal),
}

/// Why a device was not imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImportRefusal {
    /// The device with this token belongs to another user.
    #[error("the device belongs to another user already")]
    ToAnotherUser,
    /// The user has as many devices of this platform as allowed.
    #[error("the user has as many devices of this platform as a user may have")]
    TooManyDevices,
    /// The device would have more interests than allowed.
    #[error("the device would have more interests than a device may have")]
    TooManyInterests,
    /// The device that has this id has another gateway token by now.
    #[error("the device with this id has another token by now")]
    IdTaken,
}

/// A device as it leaves a store, with its gateway token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedDevice {
    /// Its id.
    pub id: DeviceId,
    /// What its gateway addresses it by.
    pub token: GatewayToken,
    /// The app on the device; APNs only.
    pub bundle_id: Option<BundleId>,
    /// Which of Apple's gateways took the token last; APNs only.
    pub environment: ApnsEnvironment,
    /// What its SDK told of it.
    pub metadata: DeviceMetadata,
    /// Its user, if one was bound.
    pub user: Option<UserId>,
    /// Its interests, ascending by bytes.
    pub interests: Vec<InterestName>,
    /// When it registered last.
    pub registered_at: Timestamp,
}

/// Some of an instance's devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DevicesPage {
    /// Ascending by the random part of their ids.
    pub devices: Vec<ExportedDevice>,
    /// Devices that do not read back and were passed over.
    pub unreadable: u64,
    /// Where to go on; `None` after the last page.
    pub next: Option<uuid::Uuid>,
}
