//! Rules of reported events.

use std::sync::Arc;

use domain::device::{DeviceId, DeviceOrdinal, Platform};
use domain::publish::PublishId;

use super::world::*;
use crate::Store;
use crate::insights::{HOUR, hour_of};
use crate::publishes::{Event, EventKind, Recorded, Settlement};

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

pub async fn whatever_comes_at_once_counts_once(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let mut devices = Vec::new();
    for number in 0..10 {
        devices.push(subscriber(&store, instance, number, &["news"]).await);
    }
    let mut publishes = Vec::new();
    for _ in 0..3 {
        publishes.push(one_job(&store, instance).await.0);
    }
    // Each report four times, in an order of its own each time, by twos, all at the same time.
    let mut dice = Dice(3);
    let mut calls = Vec::new();
    for _ in 0..4 {
        let mut events = Vec::new();
        for publish in &publishes {
            for (number, device) in devices.iter().enumerate() {
                for kind in [EventKind::Delivery, EventKind::Open] {
                    // Every third device opens nothing.
                    if kind == EventKind::Delivery || number % 3 != 0 {
                        events.push(Event {
                            instance,
                            publish: *publish,
                            device: *device,
                            kind,
                            at: at(3),
                            received: at(3),
                            user: None,
                        });
                    }
                }
            }
        }
        for place in (1..events.len()).rev() {
            events.swap(place, dice.roll(place + 1));
        }
        for pair in events.chunks(2) {
            let (store, pair) = (Arc::clone(&store), pair.to_vec());
            calls.push(async move { store.record_events(pair).await.unwrap() });
        }
    }
    let recorded: Vec<Recorded> = all(calls).await.into_iter().flatten().collect();
    let told = |what| recorded.iter().filter(|one| **one == what).count();
    assert_eq!((told(Recorded::New), told(Recorded::Repeated)), (48, 144));
    for publish in publishes {
        let read = report(&store, instance, publish).await;
        assert_eq!((read.delivered, read.opened), (10, 6));
    }
    let hour = hour_of(at(3));
    let hours = store.event_hours(instance, hour, hour.after(HOUR)).await;
    let counts: Vec<u64> = hours.unwrap().iter().map(|hour| hour.count).collect();
    assert_eq!(counts, [30, 18]);
}

pub async fn reports_go_before_their_publish_and_count_no_more(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let first = subscriber(&store, instance, 1, &["news"]).await;
    let second = subscriber(&store, instance, 2, &["news"]).await;
    let (old, job) = one_job(&store, instance).await;
    let (young, _) = one_job(&store, instance).await;
    let event = |publish, device| Event {
        instance,
        publish,
        device,
        kind: EventKind::Delivery,
        at: at(3),
        received: at(3),
        user: None,
    };
    let both = vec![event(old, first), event(young, first)];
    let _ = store.record_events(both.clone()).await.unwrap();
    assert_eq!(store.prune_events(at(100), 10).await.unwrap(), 0);
    finish_job(&store, &job, Settlement::default()).await;
    assert_eq!(store.prune_events(at(1), 10).await.unwrap(), 0);
    assert_eq!(store.prune_events(at(100), 10).await.unwrap(), 1);
    assert_eq!(store.prune_events(at(100), 10).await.unwrap(), 0);

    // Neither a repetition nor a late report counts: nobody could tell them apart.
    use Recorded::{Repeated, Unknown};
    let late = [both, vec![event(old, second)]].concat();
    let recorded = store.record_events(late).await.unwrap();
    assert_eq!(recorded, [Unknown, Repeated, Unknown]);
    assert_eq!(report(&store, instance, old).await.delivered, 1);
    assert_eq!(report(&store, instance, young).await.delivered, 1);
    assert_eq!(store.prune_publishes(at(100), 10).await.unwrap(), 1);
}

pub async fn the_events_of_a_publish_are_listed(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let mut devices = Vec::new();
    for number in 0..5 {
        devices.push(subscriber(&store, mine, number, &["news"]).await);
    }
    bound(&store, mine, devices[1], "ann").await;
    let (publish, _) = one_job(&store, mine).await;
    for (number, device) in (0..).zip(&devices) {
        for kind in [EventKind::Delivery, EventKind::Open] {
            if kind == EventKind::Delivery || number == 1 {
                let event = Event {
                    instance: mine,
                    publish,
                    device: *device,
                    kind,
                    at: at(number),
                    received: at(3),
                    user: None,
                };
                let _ = store.record_events(vec![event]).await.unwrap();
            }
        }
    }
    assert!(store.delete_device(mine, devices[2]).await.unwrap());
    let list = async |instance, kind, after, limit| {
        let events = store.publish_events(instance, publish, kind, after, limit);
        events.await.unwrap()
    };
    let (mut after, mut found) = (DeviceOrdinal(0), Vec::new());
    loop {
        let page = list(mine, EventKind::Delivery, after, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = last.ordinal;
        found.extend(page);
    }
    let told: Vec<_> = found.iter().map(|event| (event.device, event.at)).collect();
    let expected: Vec<_> = (0..)
        .zip(&devices)
        .map(|(number, device)| ((number != 2).then_some(*device), at(number)))
        .collect();
    assert_eq!(told, expected);
    let opened = list(mine, EventKind::Open, DeviceOrdinal(0), 9)
        .await
        .unwrap();
    let users: Vec<_> = opened.into_iter().map(|event| event.user).collect();
    assert_eq!(users, [Some(user("ann"))]);
    assert_eq!(
        list(other, EventKind::Open, DeviceOrdinal(0), 9).await,
        None
    );
}
