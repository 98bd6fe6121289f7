//! Rules of reported events.

use std::sync::Arc;

use domain::device::{DeviceId, Platform};
use domain::publish::PublishId;

use super::world::*;
use crate::Store;
use crate::publishes::{Event, EventKind, Recorded};

pub async fn an_event_counts_once(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let first = subscriber(&store, instance, 1, &["news"]).await;
    let second = subscriber(&store, instance, 2, &["news"]).await;
    let (publish, _) = one_job(&store, instance).await;
    let event = |device, kind| Event {
        instance,
        publish,
        device,
        kind,
        at: at(3),
        received: at(3),
        user: None,
    };
    let reported = vec![
        event(first, EventKind::Delivery),
        event(first, EventKind::Delivery),
        event(second, EventKind::Delivery),
        event(first, EventKind::Open),
    ];
    use Recorded::{New, Repeated};
    assert_eq!(
        store.record_events(reported.clone()).await.unwrap(),
        [New, Repeated, New, New]
    );
    assert_eq!(store.record_events(reported).await.unwrap(), [Repeated; 4]);
    assert_eq!(store.record_events(vec![]).await.unwrap(), []);
    let read = report(&store, instance, publish).await;
    assert_eq!((read.delivered, read.opened), (2, 1));
}

pub async fn an_event_of_a_stranger_does_not_count(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let device = subscriber(&store, mine, 1, &["news"]).await;
    let stranger = subscriber(&store, other, 1, &["news"]).await;
    let (publish, _) = one_job(&store, mine).await;
    let event = |instance, publish, device| Event {
        instance,
        publish,
        device,
        kind: EventKind::Open,
        at: at(3),
        received: at(3),
        user: None,
    };
    let reported = vec![
        event(mine, publish, stranger),
        event(other, publish, stranger),
        event(other, publish, device),
        event(mine, PublishId::random(), device),
        event(mine, publish, DeviceId::random(Platform::Fcm)),
        event(mine, publish, device),
    ];
    let mut expected = [Recorded::Unknown; 6];
    expected[5] = Recorded::New;
    assert_eq!(store.record_events(reported).await.unwrap(), expected);
    assert_eq!(report(&store, mine, publish).await.opened, 1);
}

pub async fn events_outlive_their_device(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let device = subscriber(&store, instance, 1, &["news"]).await;
    let (publish, _) = one_job(&store, instance).await;
    let event = Event {
        instance,
        publish,
        device,
        kind: EventKind::Delivery,
        at: at(3),
        received: at(3),
        user: None,
    };
    assert_eq!(
        store.record_events(vec![event]).await.unwrap(),
        [Recorded::New]
    );
    assert!(store.delete_device(instance, device).await.unwrap());
    assert_eq!(report(&store, instance, publish).await.delivered, 1);
}
