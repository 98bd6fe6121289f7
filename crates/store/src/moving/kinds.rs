//! The kinds of rows, in an order in which each comes after those it points at, and their columns.

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellType {
    /// A number.
    Int,
    /// A text.
    Text,
    /// Bytes.
    Bytes,
    /// An id of 16 bytes.
    Uuid,
}

/// A column: its name, and what stands in it.
pub type Column = (&'static str, CellType);

use CellType::{Bytes, Int, Text, Uuid};

/// Makes the kinds with their names and columns.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident $name:literal $length:literal: $($column:ident $cell:ident),+;)+) => {
        /// A kind of row.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[doc = $doc])+ $kind),+
        }

        impl Kind {
            /// All of them; each comes after those it points at.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// Its name, which is the name of its table.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name),+
                }
            }

            /// Its columns.
            pub const fn columns(self) -> &'static [Column] {
                match self {
                    $(Self::$kind => &[$((stringify!($column), $cell)),+]),+
                }
            }

            /// How many of its rows are moved at once: such that they have some megabytes at most.
            pub const fn page_length(self) -> usize {
                match self {
                    $(Self::$kind => $length),+
                }
            }
        }
    };
}

kinds! {
    /// Instances.
    Instances "instances" 1000: instance Int, id Uuid, name Text, vapid_public_key Bytes, vapid_private_key Bytes, created_at Int;
    /// Secret keys, sealed.
    SecretKeys "secret_keys" 1000: instance Int, secret_key Int, sealed Bytes, hint Text, created_at Int;
    /// Gateway credentials, sealed.
    Credentials "credentials" 1000: instance Int, platform Text, sealed Bytes, summary Text, version Int, set_at Int,
        broken_since Int, broken_reason Text;
    /// Users.
    Users "users" 5000: instance Int, user_number Int, id Text;
    /// Devices.
    Devices "devices" 2000: instance Int, device Int, id Uuid, platform Text, identity Text, keys Bytes, bundle_id Text,
        environment Text, metadata Text, user_number Int, created_at Int, registered_at Int, bound_at Int,
        given_again Int, active_on Int, active_days Int;
    /// Interests.
    Interests "interests" 5000: instance Int, interest Int, name Text;
    /// Subscriptions.
    Subscriptions "subscriptions" 10000: instance Int, interest Int, device Int;
    /// Publishes.
    Publishes "publishes" 5000: instance Int, publish Int, id Uuid, state Text, accepted_at Int, send_at Int, expires_at Int,
        finished_at Int, named Text, named_count Int, replay_of Int, delivered Int, opened Int,
        has_payload Int, has_names Int, has_events Int;
    /// What publishes carry, and whom they are for.
    Payloads "payloads" 100: instance Int, publish Int, format Int, payloads Text, audience Bytes, users Text,
        trace Bytes, interests Text;
    /// Publishes that wait for their time.
    Scheduled "scheduled" 100: instance Int, publish Int, send_at Int, audience Text;
    /// Jobs. Leases stay behind.
    Jobs "jobs" 5000: job Int, instance Int, publish Int, cursor Int, range_end Int, fence Int;
    /// Retries. Leases stay behind.
    Retries "retries" 5000: retry Int, instance Int, publish Int, device Int, user_number Int, attempts Int, due_at Int,
        reason Text, fence Int;
    /// Publishes that may have lost their last retry with a device.
    Emptied "emptied" 5000: instance Int, publish Int;
    /// How many deliveries had which end.
    Tallies "tallies" 5000: instance Int, publish Int, platform Text, outcome Text, reason Text, count Int;
    /// The same for each user.
    UserTallies "user_tallies" 10000: instance Int, publish Int, user_number Int, accepted Int, failed Int;
    /// Deliveries that ended without having been taken.
    Failures "failures" 5000: instance Int, publish Int, device Int, id Uuid, platform Text, user_id Text, outcome Text,
        reason Text, failed_at Int;
    /// What devices reported.
    Events "events" 10000: instance Int, publish Int, kind Text, device Int, at Int;
    /// What was reported, by the hour.
    EventHours "event_hours" 10000: instance Int, hour Int, platform Text, kind Text, count Int;
    /// What was reported, by the day.
    EventDays "event_days" 10000: instance Int, day Int, platform Text, kind Text, count Int;
    /// Keys of requests.
    RequestKeys "request_keys" 5000: instance Int, key Text, fingerprint Bytes, id Uuid, used_at Int;
    /// Lists of users.
    Lists "lists" 5000: list Int, instance Int, publish Int, created_at Int;
    /// The users on them.
    Listed "listed" 2000: list Int, place Int, user_id Text, vals Text;
    /// Webhooks, their secrets sealed.
    Webhooks "webhooks" 1000: webhook Int, instance Int, id Uuid, url Text, secret Bytes, scheme Text, events Int,
        custom_data Text, created_at Int, disabled_since Int, disabled_reason Text, failing_since Int, full_since Int;
    /// Requests to webhooks. Leases stay behind.
    WebhookRequests "webhook_requests" 500: request Int, webhook Int, id Uuid, event_id Uuid, event Text, payload Text,
        publish Int, after_user Text, user_id Text, created_at Int, state Text, attempts Int, due_at Int, fence Int,
        tried_at Int, status Int, error Text, tries Text;
    /// What publishes brought along, sealed.
    PublishWebhooks "publish_webhooks" 20: instance Int, publish Int, sealed Bytes;
    /// Provider tokens, sealed: a new one each would be too many for Apple.
    ProviderTokens "provider_tokens" 1000: name Text, version Int, sealed Bytes;
    /// Admin tokens, as digests.
    AdminTokens "admin_tokens" 1000: token Int, digest Bytes, hint Text, name Text, instances Text, may Text, created_at Int,
        expires_at Int, used_at Int;
    /// The audit log.
    Audit "audit" 5000: entry Int, at Int, actor Text, token Int, token_name Text, action Text, instance Uuid, subject Text,
        user_id Text, outcome Text, reason Text;
}

impl Kind {
    /// The column with the number that never repeats, where the kind has one.
    pub const fn number(self) -> Option<&'static str> {
        match self {
            Self::Instances => Some("instance"),
            Self::SecretKeys => Some("secret_key"),
            Self::Users => Some("user_number"),
            Self::Devices => Some("device"),
            Self::Interests => Some("interest"),
            Self::Publishes => Some("publish"),
            Self::Jobs => Some("job"),
            Self::Retries => Some("retry"),
            Self::Lists => Some("list"),
            Self::Webhooks => Some("webhook"),
            Self::WebhookRequests => Some("request"),
            Self::AdminTokens => Some("token"),
            Self::Audit => Some("entry"),
            _ => None,
        }
    }

    /// The kind with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// What stands in a column of it.
    pub fn cell_type(self, column: &str) -> Option<CellType> {
        let mut columns = self.columns().iter();
        columns
            .find(|(name, _)| *name == column)
            .map(|(_, cell)| *cell)
    }
}
