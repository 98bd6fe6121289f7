//! Rules of trails.

use std::sync::Arc;

use domain::device::{DeviceOrdinal, Platform};
use domain::instance::InstanceId;

use super::world::*;
use crate::console::{TRAIL_LENGTH_MAX, Trace, TraceKind, TraceNumber, Watched};
use crate::{Store, StoreError};

fn trace(secs: i64, detail: &str) -> Trace {
    Trace {
        detail: detail.to_owned(),
        ..Trace::new(at(secs), TraceKind::Accepted)
    }
}

async fn details(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    after: Option<TraceNumber>,
    limit: usize,
) -> Vec<String> {
    let trail = store.trail(instance, after, limit).await.unwrap();
    trail.into_iter().map(|(_, trace)| trace.detail).collect()
}

pub async fn an_unknown_instance_has_no_trail(store: Arc<dyn Store>) {
    let unknown = InstanceId::random();
    let watched = store.watch_trail(unknown, at(60)).await;
    assert!(matches!(watched, Err(StoreError::UnknownInstance)));
    let shown = store.show_payloads(unknown, true).await;
    assert!(matches!(shown, Err(StoreError::UnknownInstance)));
    assert!(!store.shows_payloads(unknown).await.unwrap());
    store
        .append_trail(unknown, vec![trace(0, "a")])
        .await
        .unwrap();
    assert!(details(&store, unknown, None, 10).await.is_empty());
}

pub async fn a_watch_ends_by_itself(store: Arc<dyn Store>) {
    let (one, other) = (instance(&store).await, instance(&store).await);
    assert!(store.watched_trails(at(0)).await.unwrap().is_empty());
    store.watch_trail(one, at(60)).await.unwrap();
    store.watch_trail(one, at(30)).await.unwrap();
    store.show_payloads(other, true).await.unwrap();
    let expected = Watched {
        instance: one,
        shows_payloads: false,
    };
    assert_eq!(store.watched_trails(at(59)).await.unwrap(), [expected]);
    assert!(store.watched_trails(at(60)).await.unwrap().is_empty());
    store.watch_trail(other, at(90)).await.unwrap();
    let expected = Watched {
        instance: other,
        shows_payloads: true,
    };
    assert_eq!(store.watched_trails(at(60)).await.unwrap(), [expected]);
    assert!(
        store.shows_payloads(other).await.unwrap() && !store.shows_payloads(one).await.unwrap()
    );
    store.show_payloads(other, false).await.unwrap();
    assert!(!store.shows_payloads(other).await.unwrap());
}

pub async fn a_trace_reads_back(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let full = Trace {
        device: Some(domain::device::DeviceId::random(Platform::Web)),
        user: Some(user("\u{5d0}\u{5d1} <b>\n&")),
        publish: Some(domain::publish::PublishId::random()),
        interests: vec![interest("a;b"), interest("a,c=@.-_")],
        ..trace(1, "line\nline")
    };
    let kinds = TraceKind::ALL.map(|kind| Trace::new(at(2), kind));
    let mut all = vec![full];
    all.extend(kinds);
    store.append_trail(instance, all.clone()).await.unwrap();
    let read = store.trail(instance, None, 100).await.unwrap();
    assert_eq!(
        read.into_iter().map(|(_, trace)| trace).collect::<Vec<_>>(),
        all
    );
}

pub async fn a_trail_goes_on_where_it_was_left(store: Arc<dyn Store>) {
    let (one, other) = (instance(&store).await, instance(&store).await);
    for n in 0..5 {
        store
            .append_trail(one, vec![trace(n, &format!("one {n}"))])
            .await
            .unwrap();
        store
            .append_trail(other, vec![trace(n, &format!("other {n}"))])
            .await
            .unwrap();
    }
    assert_eq!(details(&store, one, None, 2).await, ["one 3", "one 4"]);
    let first = store
        .trail(one, Some(TraceNumber::default()), 3)
        .await
        .unwrap();
    assert_eq!(first.len(), 3);
    let after = Some(first[2].0);
    assert_eq!(details(&store, one, after, 10).await, ["one 3", "one 4"]);
}

pub async fn a_trail_is_kept_short(store: Arc<dyn Store>) {
    let (one, other) = (instance(&store).await, instance(&store).await);
    store
        .append_trail(other, vec![trace(0, "stays")])
        .await
        .unwrap();
    let many = (0..TRAIL_LENGTH_MAX + 10)
        .map(|n| trace(0, &n.to_string()))
        .collect();
    store.append_trail(one, many).await.unwrap();
    let kept = details(&store, one, Some(TraceNumber::default()), usize::MAX).await;
    assert_eq!((kept.len(), kept[0].as_str()), (TRAIL_LENGTH_MAX, "10"));
    assert_eq!(details(&store, other, None, 10).await, ["stays"]);
}

pub async fn old_traces_are_pruned(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let traces = (0..5).map(|n| trace(n, &n.to_string())).collect();
    store.append_trail(instance, traces).await.unwrap();
    assert_eq!(store.prune_trails(at(3), 2).await.unwrap(), 2);
    assert_eq!(store.prune_trails(at(3), 2).await.unwrap(), 1);
    assert_eq!(store.prune_trails(at(3), 2).await.unwrap(), 0);
    assert_eq!(details(&store, instance, None, 10).await, ["3", "4"]);
}

pub async fn a_trail_goes_with_its_instance(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    store.watch_trail(instance, at(60)).await.unwrap();
    store
        .append_trail(instance, vec![trace(0, "a")])
        .await
        .unwrap();
    assert!(store.delete_instance(instance).await.unwrap());
    assert!(store.watched_trails(at(0)).await.unwrap().is_empty());
    assert!(details(&store, instance, None, 10).await.is_empty());
}

pub async fn addressees_are_told_in_their_instance(store: Arc<dyn Store>) {
    let (one, other) = (instance(&store).await, instance(&store).await);
    let device = device(&store, one, token(Platform::Fcm, 1)).await;
    bound(&store, one, device, "alice").await;
    let ordinals: Vec<_> = (0..20).map(DeviceOrdinal).collect();
    let told = store.addressees(one, ordinals.clone()).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].device, told[0].user.clone()),
        (device, Some(user("alice")))
    );
    assert!(store.addressees(other, ordinals).await.unwrap().is_empty());
}
