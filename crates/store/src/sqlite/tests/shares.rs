//! What devices may make of the writer's time: how much of a group, how much of the queue; and what a refusal costs the group that
//! it is in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::device::{DeviceId, Platform};
use domain::instance::InstanceId;
use domain::interest::InterestName;
use tokio::task::JoinSet;

use super::writing::{count, hold, insert, until_waiting};
use super::{Folder, NOW, device, instance, registration};
use crate::devices::Changed;
use crate::sqlite::SqliteStore;
use crate::{Store as _, StoreError};

/// As many names as make one request for them more than devices have of a group.
const HEAVY: usize = 2_000;

fn names(of: usize, count: usize) -> Vec<InterestName> {
    let name = |number| InterestName::parse(format!("{of}-{number}")).unwrap();
    (0..count).map(name).collect()
}

/// Sets the interests of each device in one group with whatever waits.
async fn set_all(
    store: &Arc<SqliteStore>,
    instance: InstanceId,
    sets: impl Iterator<Item = (DeviceId, Vec<InterestName>)>,
) -> JoinSet<Changed> {
    let mut set = JoinSet::new();
    for (waiting, (device, names)) in sets.enumerate() {
        let own = Arc::clone(store);
        set.spawn(async move {
            let set = own.set_interests(instance, device, names, NOW).await;
            set.unwrap()
        });
        // One after the other, so that their order is known.
        until_waiting(store, waiting + 1).await;
    }
    set
}

/// Something of the server's own: how much was committed when it was done.
async fn publish(store: &Arc<SqliteStore>) -> u64 {
    let written = Arc::clone(store);
    let work = move |connection: &rusqlite::Connection| {
        insert(connection, "published")?;
        Ok(written.statistics().commits)
    };
    store.writer.run(work).await.unwrap()
}

#[tokio::test]
async fn many_names_of_devices_make_no_group_long() {
    let folder = Folder::new();
    let store = folder.open().await;
    let instance = instance(&store).await;
    let mut devices = Vec::new();
    for number in 0..4 {
        devices.push(device(&store, instance, number).await);
    }
    let sets = |from: usize, count: usize| {
        let sets = devices.clone().into_iter().enumerate();
        sets.map(move |(number, device)| (device, names(from + number, count)))
    };
    for (from, count, groups) in [
        // Each comes with names, and writes a row of two tables for each.
        (0, HEAVY, 4),
        // Each comes with others, and those that were go too.
        (10, HEAVY, 4),
        // What comes without a name removes what there is: two make a group.
        (20, 0, 2),
        // And what changes nothing takes no share.
        (20, 0, 1),
    ] {
        let release = hold(&store).await;
        let before = store.statistics().commits;
        let set = set_all(&store, instance, sets(from, count)).await;
        let own = Arc::clone(&store);
        let mut published = JoinSet::new();
        published.spawn(async move { publish(&own).await });
        until_waiting(&store, devices.len() + 1).await;
        drop(release);
        let at_publish = published.join_next().await.unwrap().unwrap();
        assert_eq!(at_publish - before, 1, "behind the one that held up alone");
        assert_eq!(set.join_all().await, [Changed::Done; 4]);
        let groups_were = store.statistics().commits - before - 1;
        assert_eq!(groups_were, groups, "{count} names from {from}");
        store
            .writer
            .run(|c| Ok(c.execute("DELETE FROM devices WHERE identity = 'published'", [])?))
            .await
            .unwrap();
    }
    for device in devices {
        let page = store.interests(instance, device, None, 1).await.unwrap();
        assert!(page.unwrap().interests.is_empty());
    }
}

#[tokio::test]
async fn a_failure_beside_many_names_makes_no_group_long_either() {
    let folder = Folder::new();
    let store = folder.open().await;
    let instance = instance(&store).await;
    let first = device(&store, instance, 1).await;
    let second = device(&store, instance, 2).await;
    let release = hold(&store).await;
    let before = store.statistics();
    let own = Arc::clone(&store);
    let mut failing = JoinSet::new();
    failing.spawn(async move {
        let work = |c: &rusqlite::Connection| {
            insert(c, "undone")?;
            Err::<(), _>(StoreError::InstanceFull)
        };
        own.writer.run(work).await
    });
    until_waiting(&store, 1).await;
    let mut set = JoinSet::new();
    for (waiting, device) in [first, second].into_iter().enumerate() {
        let own = Arc::clone(&store);
        let names = names(waiting, HEAVY);
        set.spawn(async move {
            own.set_interests(instance, device, names, NOW)
                .await
                .unwrap()
        });
        until_waiting(&store, waiting + 2).await;
    }
    drop(release);
    assert!(matches!(
        failing.join_next().await.unwrap().unwrap(),
        Err(StoreError::InstanceFull)
    ));
    assert_eq!(set.join_all().await, [Changed::Done; 2]);
    let after = store.statistics();
    assert_eq!(after.commits - before.commits, 3);
    assert_eq!(after.repeated - before.repeated, 1);
    assert_eq!(count(&store).await, 2, "what failed is undone");
}

#[tokio::test]
async fn a_refusal_that_changed_nothing_makes_no_group_run_twice() {
    let folder = Folder::new();
    let store = folder.open().await;
    let instance = instance(&store).await;
    device(&store, instance, 0).await;
    let release = hold(&store).await;
    let before = store.statistics();
    let runs = Arc::new(AtomicUsize::new(0));
    let mut publishes = JoinSet::new();
    for number in 0..5 {
        let (own, runs) = (Arc::clone(&store), Arc::clone(&runs));
        publishes.spawn(async move {
            let work = move |c: &rusqlite::Connection| {
                runs.fetch_add(1, Ordering::Relaxed);
                insert(c, &format!("published {number}"))
            };
            own.writer.run(work).await.unwrap();
        });
    }
    let mut refused = JoinSet::new();
    for (number, instance) in [(1, instance), (2, InstanceId::random()), (3, instance)] {
        let own = Arc::clone(&store);
        let fresh = DeviceId::random(Platform::Fcm);
        refused.spawn(async move {
            own.register_device(registration(instance, number), fresh, Some(1), NOW)
                .await
                .unwrap_err()
        });
    }
    until_waiting(&store, 8).await;
    drop(release);
    publishes.join_all().await;
    for refusal in refused.join_all().await {
        assert!(
            matches!(
                refusal,
                StoreError::InstanceFull | StoreError::UnknownInstance
            ),
            "{refusal:?}"
        );
    }
    assert_eq!(runs.load(Ordering::Relaxed), 5, "each ran once");
    let after = store.statistics();
    assert_eq!(after.repeated, before.repeated);
    assert_eq!(
        after.commits - before.commits,
        2,
        "the one that held up, and all the rest together"
    );
    assert_eq!(count(&store).await, 1 + 5);
}

#[tokio::test]
async fn names_beyond_what_may_wait_are_refused_and_few_are_not() {
    let folder = Folder::new();
    let store = folder.open().await;
    let instance = instance(&store).await;
    let device = device(&store, instance, 1).await;
    let release = hold(&store).await;
    let many = names(0, 5_000);
    let mut set = JoinSet::new();
    for waiting in 0..20 {
        let (own, many) = (Arc::clone(&store), many.clone());
        set.spawn(async move {
            own.set_interests(instance, device, many, NOW)
                .await
                .unwrap()
        });
        until_waiting(&store, waiting + 1).await;
    }
    let more = store
        .set_interests(instance, device, names(0, 1), NOW)
        .await;
    assert!(matches!(more, Err(StoreError::Busy)), "{more:?}");
    // A device that asks for nothing much gets its turn.
    let own = Arc::clone(&store);
    let mut light = JoinSet::new();
    light.spawn(async move { own.delete_device(instance, device).await });
    until_waiting(&store, 21).await;
    drop(release);
    assert_eq!(set.join_all().await, [Changed::Done; 20]);
    assert!(light.join_next().await.unwrap().unwrap().unwrap());
}
