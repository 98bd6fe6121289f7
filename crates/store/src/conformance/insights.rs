//! Rules of what is counted by the hour.

use std::sync::Arc;

use domain::clock::Timestamp;
use domain::device::{DeviceId, Platform};
use domain::instance::InstanceId;

use super::world::*;
use crate::Store;
use crate::activity::Day;
use crate::insights::{EventDay, EventHour, HOUR};
use crate::publishes::{Event, EventKind};

/// The beginning of the hour `number`.
fn hour(number: u32) -> Timestamp {
    Timestamp::from_secs(0).after(HOUR * number)
}

async fn told(store: &Arc<dyn Store>, instance: InstanceId) -> Vec<(i64, EventKind, u64)> {
    let hours = store.event_hours(instance, hour(0), hour(1000)).await;
    let hours = hours.unwrap().into_iter();
    let of_fcm = |told: EventHour| {
        assert_eq!(told.platform, Platform::Fcm);
        (told.hour.as_secs() / 3600, told.kind, told.count)
    };
    hours.map(of_fcm).collect()
}

pub async fn what_counts_for_a_publish_counts_for_its_hour(store: Arc<dyn Store>) {
    use EventKind::{Delivery, Open};
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let first = subscriber(&store, mine, 1, &["news"]).await;
    let second = subscriber(&store, mine, 2, &["news"]).await;
    let (publish, _) = one_job(&store, mine).await;
    let event = |device, kind, received| Event {
        instance: mine,
        publish,
        device,
        kind,
        // A device's clock may say anything.
        at: at(3),
        received,
        user: None,
    };
    let stranger = DeviceId::random(Platform::Fcm);
    let reported = vec![
        event(first, Delivery, hour(5)),
        event(
            second,
            Delivery,
            hour(6).before(std::time::Duration::from_millis(1)),
        ),
        event(first, Open, hour(6)),
        // Neither a repetition nor a stranger counts.
        event(first, Delivery, hour(7)),
        event(stranger, Delivery, hour(7)),
    ];
    store.record_events(reported.clone()).await.unwrap();
    store.record_events(reported).await.unwrap();
    let expected = [(5, Delivery, 2), (6, Open, 1)];
    assert_eq!(told(&store, mine).await, expected);
    assert_eq!(told(&store, other).await, []);
    assert_eq!(told(&store, InstanceId::random()).await, []);
    let none = store
        .event_hours(mine, hour(6).after(HOUR / 2), hour(9))
        .await;
    assert_eq!(none.unwrap(), []);
    let of_five = store.event_hours(mine, hour(5), hour(6)).await.unwrap();
    assert_eq!(of_five.len(), 1);

    // The publish's own counts say the same.
    let read = report(&store, mine, publish).await;
    assert_eq!((read.delivered, read.opened), (2, 1));
}

pub async fn old_hours_are_forgotten_and_no_others(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let mut devices = Vec::new();
    for number in 1..=5 {
        devices.push(subscriber(&store, instance, number, &["news"]).await);
    }
    let (publish, _) = one_job(&store, instance).await;
    for (device, number) in devices.into_iter().zip(1..) {
        let event = Event {
            instance,
            publish,
            device,
            kind: EventKind::Delivery,
            at: at(3),
            received: hour(number),
            user: None,
        };
        let _ = store.record_events(vec![event]).await.unwrap();
    }
    assert_eq!(store.prune_event_counts(hour(4), 2).await.unwrap(), 2);
    assert_eq!(store.prune_event_counts(hour(4), 2).await.unwrap(), 1);
    assert_eq!(store.prune_event_counts(hour(4), 2).await.unwrap(), 0);
    let left: Vec<_> = told(&store, instance).await;
    let expected = [(4, EventKind::Delivery, 1), (5, EventKind::Delivery, 1)];
    assert_eq!(left, expected);
    // What was forgotten by the hour counts for the publish still.
    assert_eq!(report(&store, instance, publish).await.delivered, 5);
}

/// What is told of the days up to `last`, by their numbers.
async fn by_day(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    last: u32,
) -> Vec<(i64, EventKind, u64)> {
    let (from, until) = (Day::of(hour(0)), Day::of(hour(24 * last)));
    let days = store.event_days(instance, from, until).await.unwrap();
    let of_fcm = |told: EventDay| {
        assert_eq!(told.platform, Platform::Fcm);
        (told.day.begins().as_secs() / 86_400, told.kind, told.count)
    };
    days.into_iter().map(of_fcm).collect()
}

pub async fn hours_are_added_up_by_day_and_nothing_is_lost(store: Arc<dyn Store>) {
    use EventKind::{Delivery, Open};
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let device = subscriber(&store, mine, 1, &["news"]).await;
    let stranger = subscriber(&store, other, 1, &["news"]).await;
    // Two reports on the first day, and then one every twelve hours.
    for (number, kind) in [
        (1, Delivery),
        (2, Delivery),
        (24, Open),
        (36, Delivery),
        (48, Delivery),
        (60, Delivery),
    ] {
        for (instance, device) in [(mine, device), (other, stranger)] {
            let (publish, _) = one_job(&store, instance).await;
            let event = Event {
                instance,
                publish,
                device,
                kind,
                at: at(3),
                received: hour(number),
                user: None,
            };
            let _ = store.record_events(vec![event]).await.unwrap();
        }
    }
    let expected = [
        (0, Delivery, 2),
        (1, Delivery, 1),
        (1, Open, 1),
        (2, Delivery, 2),
    ];
    assert_eq!(by_day(&store, mine, 5).await, expected);
    // Whatever has been rolled up, the days are the same, and no hour is in two places.
    for (before, limit, moved) in [
        (2, 100, 2),
        (37, 3, 3),
        (37, 3, 3),
        (37, 3, 0),
        (48, 100, 0),
    ] {
        assert_eq!(
            store.roll_up_events(hour(before), limit).await.unwrap(),
            moved
        );
        assert_eq!(by_day(&store, mine, 5).await, expected);
        assert_eq!(by_day(&store, other, 5).await, expected);
    }
    assert_eq!(
        told(&store, mine).await,
        [(48, Delivery, 1), (60, Delivery, 1)]
    );
    // A day is forgotten when all of it is old, and no part of it before.
    assert_eq!(store.prune_event_counts(hour(47), 100).await.unwrap(), 2);
    assert_eq!(by_day(&store, mine, 5).await, expected[1..]);
    assert_eq!(by_day(&store, mine, 1).await, expected[1..3]);
    assert_eq!(by_day(&store, InstanceId::random(), 5).await, []);
    assert!(store.delete_instance(mine).await.unwrap());
    assert_eq!(by_day(&store, mine, 5).await, []);
    assert_eq!(by_day(&store, other, 5).await, expected[1..]);
}

pub async fn a_deleted_instance_has_no_hours(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let device = subscriber(&store, instance, 1, &["news"]).await;
    let (publish, _) = one_job(&store, instance).await;
    let event = Event {
        instance,
        publish,
        device,
        kind: EventKind::Delivery,
        at: at(3),
        received: hour(1),
        user: None,
    };
    let _ = store.record_events(vec![event]).await.unwrap();
    assert!(store.delete_instance(instance).await.unwrap());
    assert_eq!(told(&store, instance).await, []);
}
