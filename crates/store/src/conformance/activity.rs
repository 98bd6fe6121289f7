//! Rules of when devices are active, and of counting them.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal, Platform};
use domain::instance::InstanceId;

use super::world::*;
use crate::Store;
use crate::activity::{ACTIVE_DAYS, Day, Days, DeviceCounts, WantedDevices};
use crate::administration::DeviceFilter;
use crate::devices::{Bound, Changed};
use crate::publishes::{Event, EventKind, Recorded};

/// Some time on the day `number`.
fn on(number: u32) -> Timestamp {
    at(0).after(Duration::from_secs(24 * 60 * 60) * number)
}

fn day(number: u32) -> Day {
    Day::of(on(number))
}

/// All devices counted, a few at a time.
async fn counted(store: &Arc<dyn Store>, instance: InstanceId, today: u32) -> DeviceCounts {
    let (mut counts, mut after) = (DeviceCounts::default(), DeviceOrdinal(0));
    loop {
        let piece = store.count_devices(instance, day(today), after, 2).await;
        let piece = piece.unwrap();
        counts.add(&piece.counts);
        match piece.next {
            Some(next) => after = next,
            None => return counts,
        }
    }
}

/// All devices that are wanted, a few at a time.
async fn found(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    platform: Option<Platform>,
    active: Option<Days>,
) -> Vec<DeviceId> {
    let wanted = WantedDevices { platform, active };
    let (mut devices, mut after) = (Vec::new(), DeviceOrdinal(0));
    loop {
        let piece = store.find_devices(instance, wanted, after, 2).await;
        let piece = piece.unwrap();
        assert!(piece.devices.len() <= 2);
        devices.extend(piece.devices.iter().map(|listed| listed.device.id));
        match piece.next {
            Some(next) => after = next,
            None => return devices,
        }
    }
}

/// On which of the days up to 29 days after the first a device was active.
async fn days_of(store: &Arc<dyn Store>, instance: InstanceId) -> Vec<u32> {
    let counts = counted(store, instance, ACTIVE_DAYS - 1).await;
    let by_day = counts.of(Platform::Fcm).by_day;
    let days = (0..ACTIVE_DAYS).filter(|day| by_day[(ACTIVE_DAYS - 1 - day) as usize] > 0);
    days.collect()
}

pub async fn a_device_is_active_on_the_days_on_which_it_shows(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    // Day 0: registered, and subscribed.
    let id = subscriber(&store, instance, 1, &["news"]).await;
    let (publish, _) = one_job(&store, instance).await;
    assert_eq!(days_of(&store, instance).await, [0]);

    let again = registration(instance, token(Platform::Fcm, 1));
    let registered = store.register_device(again, DeviceId::random(Platform::Fcm), None, on(2));
    assert!(!registered.await.unwrap().new);
    let set = store.set_interests(instance, id, names(&["news"]), on(4));
    assert_eq!(set.await.unwrap(), Changed::Done);
    let added = store.add_interest(instance, id, interest("a"), 10, on(6));
    assert_eq!(added.await.unwrap(), Changed::Done);
    let removed = store.remove_interest(instance, id, interest("a"), on(8));
    assert_eq!(removed.await.unwrap(), Changed::Done);
    for when in [on(10), on(12)] {
        let bound = store.bind_user(instance, id, user("ann"), 10, when);
        assert_eq!(bound.await.unwrap(), Bound::Done);
    }
    let moved = store.set_gateway_token(instance, id, token(Platform::Fcm, 1), on(14));
    assert_eq!(moved.await.unwrap(), Changed::Done);
    let event = |received| Event {
        instance,
        publish,
        device: id,
        kind: EventKind::Open,
        // A device's clock may say anything.
        at: on(17),
        received,
        user: None,
    };
    let reported = store.record_events(vec![event(on(16))]).await.unwrap();
    assert_eq!(reported, [Recorded::New]);
    let reported = store.record_events(vec![event(on(18))]).await.unwrap();
    assert_eq!(reported, [Recorded::Repeated]);
    let expected = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18];
    assert_eq!(days_of(&store, instance).await, expected);
    let all = store.list_devices(instance, DeviceFilter::All, DeviceOrdinal(0), 10);
    let mut listed: Vec<Day> = all.await.unwrap()[0].active.on().collect();
    listed.reverse();
    assert_eq!(listed, expected.map(day));

    // Nobody else may make it active.
    let refused = store.bind_user(instance, id, user("bob"), 10, on(20));
    assert_eq!(refused.await.unwrap(), Bound::ToAnotherUser);
    // A clock that lags behind changes nothing.
    let late = registration(instance, token(Platform::Fcm, 1));
    let late = store.register_device(late, DeviceId::random(Platform::Fcm), None, on(5));
    assert!(!late.await.unwrap().new);
    assert_eq!(days_of(&store, instance).await, expected);
    // The day before yesterday counts among thirty days, but for the first.
    let later = counted(&store, instance, 18 + ACTIVE_DAYS - 1).await;
    assert_eq!(later.of(Platform::Fcm).active, 1);
    let later = counted(&store, instance, 18 + ACTIVE_DAYS).await;
    assert_eq!(later.of(Platform::Fcm).active, 0);
    assert_eq!(later.of(Platform::Fcm).devices, 1);
}

pub async fn devices_are_counted_and_found_alike(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let mut dice = Dice(7);
    let mut all = Vec::new();
    for number in 0..17 {
        let platform = Platform::ALL[dice.roll(Platform::ALL.len())];
        all.push((number, device(&store, mine, token(platform, number)).await));
        let _ = device(&store, other, token(platform, number)).await;
    }
    for today in 1..40 {
        for (number, id) in &all {
            if dice.roll(5) == 0 {
                let again = registration(mine, token(id.platform(), *number));
                let fresh = DeviceId::random(id.platform());
                let again = store.register_device(again, fresh, None, on(today)).await;
                assert_eq!(again.unwrap().id, *id);
            }
        }
    }
    for (_, id) in all.split_off(14) {
        assert!(store.delete_device(mine, id).await.unwrap());
    }
    let counts = counted(&store, mine, 39).await;
    for platform in Platform::ALL {
        let of = counts.of(platform);
        let there = found(&store, mine, Some(platform), None).await;
        assert!(there.iter().all(|id| id.platform() == platform));
        assert_eq!(there.len() as u64, of.devices);
        let span = Some(Days::up_to(day(39)));
        let active = found(&store, mine, Some(platform), span).await;
        assert_eq!(active.len() as u64, of.active);
        for (ago, count) in (0..).zip(of.by_day) {
            let span = Some(Days::one(day(39 - ago)));
            let active = found(&store, mine, Some(platform), span).await;
            assert_eq!(active.len() as u64, count, "{ago} days ago");
        }
    }
    assert_eq!(found(&store, mine, None, None).await.len(), 14);
    let strangers = counted(&store, InstanceId::random(), 39).await;
    assert_eq!(strangers, DeviceCounts::default());
    let strangers = found(&store, InstanceId::random(), None, None).await;
    assert_eq!(strangers, []);
}
