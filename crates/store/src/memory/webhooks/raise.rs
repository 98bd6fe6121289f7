//! Events, written down for each webhook that chose them.

use domain::clock::Timestamp;
use domain::device::{DeviceId, Platform};
use domain::instance::InstanceId;
use domain::publish::{AudienceKind, PublishId};
use domain::user::UserId;
use domain::webhook::{CustomData, EventType, Events, Removal, Scheme, WebhookEvent, WebhookId};
use uuid::Uuid;

use super::super::state::{Claim, State};
use super::{RequestRow, Source, WebhookRow};
use crate::lookup::Target;
use crate::webhooks::{RequestState, WebhookRecord};

impl State {
    /// Writes an event down for each webhook of the instance that chose it.
    pub(in super::super) fn raise(&mut self, instance: i64, event: &WebhookEvent) {
        let source = Source::Made(event.payload());
        self.queue_for_all(instance, event.event_type(), &source, None);
    }

    fn queue_for_all(
        &mut self,
        instance: i64,
        event: EventType,
        source: &Source,
        publish: Option<i64>,
    ) {
        let rows = self.webhooks.rows.iter();
        let wanting: Vec<i64> = rows
            .filter(|(_, row)| {
                let record = &row.record;
                row.instance == instance
                    && record.events.contains(event)
                    && record.disabled.is_none()
                    && record.full_since.is_none()
            })
            .map(|(number, _)| *number)
            .collect();
        let event_id = self.fresh_uuid();
        for webhook in wanting {
            self.queue(webhook, event_id, event, source.clone(), publish);
        }
    }

    pub(super) fn queue(
        &mut self,
        webhook: i64,
        event_id: Uuid,
        event: EventType,
        source: Source,
        publish: Option<i64>,
    ) -> Uuid {
        let id = self.fresh_uuid();
        self.requests.add(RequestRow {
            webhook,
            id,
            event_id,
            event,
            source,
            publish,
            created_at: None,
            state: RequestState::Waiting,
            attempts: 0,
            due_at: None,
            claim: Claim::NOBODY,
            tried_at: None,
            status: None,
            error: None,
            tries: Vec::new(),
        });
        id
    }

    pub(in super::super) fn raise_removed(&mut self, device: i64, reason: Removal) {
        let Some(row) = self.devices.rows.get(&device) else {
            return;
        };
        let (number, device) = (row.instance, row.id);
        let user = row.user.and_then(|user| self.users.rows.get(&user));
        let user = user.map(|(_, id)| id.clone());
        if let Some(instance) = self.instance_id(number) {
            let event = WebhookEvent::DeviceRemoved {
                instance,
                device,
                user,
                reason,
            };
            self.raise(number, &event);
        }
    }

    pub(in super::super) fn raise_registered(&mut self, number: i64, device: DeviceId) {
        if let Some(instance) = self.instance_id(number) {
            self.raise(number, &WebhookEvent::DeviceRegistered { instance, device });
        }
    }

    pub(in super::super) fn raise_credential_broken(
        &mut self,
        instance: InstanceId,
        platform: Platform,
        reason: &str,
    ) {
        if let Some(number) = self.instance(instance) {
            let event = WebhookEvent::CredentialBroken {
                instance,
                platform,
                reason: reason.into(),
            };
            self.raise(number, &event);
        }
    }

    pub(super) fn instance_id(&self, number: i64) -> Option<InstanceId> {
        self.instances.rows.get(&number).map(|record| record.id)
    }

    /// A publish begins to be sent.
    pub(in super::super) fn publish_begun(&mut self, publish: i64) {
        self.tell_own_webhook(publish, EventType::PublishStarted);
    }

    /// A publish that had begun has its end, or is called off.
    pub(in super::super) fn publish_ended(&mut self, publish: i64) {
        let Some(row) = self.publishes.rows.get(&publish) else {
            return;
        };
        let event = match row.target {
            Target::Named(AudienceKind::Users, _) => Some(EventType::PublishToUsersAttempt),
            Target::Named(AudienceKind::Interests, _) => Some(EventType::PublishToInterestsAttempt),
            Target::FailuresOf(_) => None,
        };
        let instance = row.instance;
        if let Some(event) = event {
            let source = Source::Publish(publish, None);
            self.queue_for_all(instance, event, &source, Some(publish));
        }
        self.tell_own_webhook(publish, EventType::PublishFinished);
    }

    fn tell_own_webhook(&mut self, publish: i64, event: EventType) {
        let row = self.publishes.rows.get(&publish);
        let Some(instance) = row
            .filter(|row| row.webhook.is_some())
            .map(|row| row.instance)
        else {
            return;
        };
        let own = |row: &WebhookRow| row.instance == instance && !row.is_shown();
        let found = self.webhooks.find(own);
        let found = found.map(|(number, row)| (number, row.record.full_since.is_none()));
        let webhook = match found {
            Some((_, false)) => return,
            Some((number, true)) => number,
            None => self.webhooks.add(WebhookRow {
                instance,
                record: WebhookRecord {
                    id: WebhookId::random(),
                    url: String::new(),
                    secret: None,
                    scheme: Scheme::Beams,
                    events: Events::from_bits(0),
                    custom_data: CustomData::default(),
                    created_at: Timestamp::from_millis(0),
                    disabled: None,
                    failing_since: None,
                    full_since: None,
                },
            }),
        };
        let source = Source::Publish(publish, None);
        let event_id = self.fresh_uuid();
        self.queue(webhook, event_id, event, source, Some(publish));
    }

    /// An id that never repeats, and is the same in every run.
    pub(in super::super) fn fresh_uuid(&mut self) -> Uuid {
        self.uuids += 1;
        Uuid::from_u128(self.uuids)
    }

    /// Tells of a reported event, if the device is bound to the user that it names.
    pub(in super::super) fn raise_reported(
        &mut self,
        device: i64,
        instance: InstanceId,
        publish: PublishId,
        user: &UserId,
        opened: bool,
    ) {
        let Some(row) = self.devices.rows.get(&device) else {
            return;
        };
        let number = row.instance;
        let bound = row.user.and_then(|user| self.users.rows.get(&user));
        if bound.is_some_and(|(_, id)| id == user) {
            let event = WebhookEvent::UserNotification {
                instance,
                publish,
                user: user.clone(),
                opened,
            };
            self.raise(number, &event);
        }
    }
}
