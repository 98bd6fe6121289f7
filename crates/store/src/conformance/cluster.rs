//! Rules of what nodes tell each other.

use std::sync::Arc;

use domain::seal::Sealed;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::world::*;
use crate::Store;
use crate::cluster::{Duty, Population, Presence, TokenName};
use crate::publishes::Lease;

fn presence(node: u128, is_worker: bool, until: i64) -> Presence {
    Presence {
        lease: until_lease(node, until),
        is_worker,
        keys: Vec::new(),
    }
}

fn until_lease(owner: u128, until: i64) -> Lease {
    Lease {
        owner: Uuid::from_u128(owner),
        until: at(until),
    }
}

fn counts(nodes: u64, workers: u64) -> Population {
    Population { nodes, workers }
}

fn sealed(text: &str) -> Sealed {
    Sealed::from_bytes(text.as_bytes().to_vec())
}

pub async fn who_lives_is_counted(store: Arc<dyn Store>) {
    assert_eq!(store.population(at(0)).await.unwrap(), counts(0, 0));
    let alone = store.present(presence(1, true, 10), at(0)).await.unwrap();
    assert_eq!(alone, counts(1, 1));
    let both = store.present(presence(2, false, 10), at(1)).await.unwrap();
    assert_eq!(both, counts(2, 1));
    // Saying so again makes nobody two, and what was said last counts.
    let again = store.present(presence(2, true, 20), at(2)).await.unwrap();
    assert_eq!(again, counts(2, 2));
    assert_eq!(store.population(at(9)).await.unwrap(), counts(2, 2));
    // A presence runs until, but not at, its end.
    assert_eq!(store.population(at(10)).await.unwrap(), counts(1, 1));
    store.depart(Uuid::from_u128(2)).await.unwrap();
    assert_eq!(store.population(at(10)).await.unwrap(), counts(0, 0));
}

pub async fn a_duty_has_one_holder(store: Arc<dyn Store>) {
    let take = |owner, until, now| store.take_duty(Duty::Janitor, until_lease(owner, until), now);
    assert!(take(1, 10, at(0)).await.unwrap());
    assert!(!take(2, 20, at(9)).await.unwrap());
    // Whoever has it prolongs it.
    assert!(take(1, 20, at(9)).await.unwrap());
    assert!(!take(2, 30, at(19)).await.unwrap());
    assert!(take(2, 30, at(20)).await.unwrap());
    assert!(!take(1, 40, at(21)).await.unwrap());
    // Another duty is another matter.
    let other = Duty::Minting(TokenName::new("apns/x"));
    let taken = store.take_duty(other, until_lease(1, 40), at(21)).await;
    assert!(taken.unwrap());
}

pub async fn a_duty_is_given_up_by_its_holder_alone(store: Arc<dyn Store>) {
    let take = |owner| store.take_duty(Duty::Janitor, until_lease(owner, 100), at(0));
    assert!(take(1).await.unwrap());
    let stranger = store.give_up_duty(Duty::Janitor, Uuid::from_u128(2)).await;
    stranger.unwrap();
    assert!(!take(2).await.unwrap());
    let holder = store.give_up_duty(Duty::Janitor, Uuid::from_u128(1)).await;
    holder.unwrap();
    assert!(take(2).await.unwrap());
    store.depart(Uuid::from_u128(2)).await.unwrap();
    assert!(take(3).await.unwrap());
}

pub async fn a_clock_that_was_hours_ahead_keeps_nothing(store: Arc<dyn Store>) {
    let ahead = 1_000_000;
    let present = store.present(presence(1, true, ahead + 10), at(ahead));
    assert_eq!(present.await.unwrap(), counts(1, 1));
    let take = |owner, until, now| store.take_duty(Duty::Janitor, until_lease(owner, until), now);
    assert!(take(1, ahead + 10, at(ahead)).await.unwrap());
    // The node died, and the others know what time it is.
    assert_eq!(store.population(at(0)).await.unwrap(), counts(0, 0));
    assert_eq!(store.node_keys(at(0)).await.unwrap(), []);
    assert!(take(2, 10, at(0)).await.unwrap());
    assert!(!take(3, 10, at(0)).await.unwrap());
    let present = store.present(presence(2, true, 10), at(0));
    assert_eq!(present.await.unwrap(), counts(1, 1));
}

pub async fn of_many_who_take_a_duty_at_once_one_has_it(store: Arc<dyn Store>) {
    let mut taking = JoinSet::new();
    for owner in 0..20 {
        let store = Arc::clone(&store);
        taking.spawn(async move {
            let lease = until_lease(owner, 100);
            store.take_duty(Duty::Janitor, lease, at(0)).await.unwrap()
        });
    }
    let taken = taking.join_all().await;
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
}

pub async fn a_shared_token_is_replaced_by_who_knows_it(store: Arc<dyn Store>) {
    let name = || TokenName::new("apns/x");
    assert_eq!(store.shared_token(name()).await.unwrap(), None);
    let share = |instead_of, text| store.share_token(name(), instead_of, sealed(text));
    let first = share(None, "first").await.unwrap();
    assert_eq!(first.sealed, sealed("first"));
    // Who did not know of it gets it.
    assert_eq!(share(None, "other").await.unwrap(), first);
    let second = share(Some(first.version), "second").await.unwrap();
    assert_eq!(second.sealed, sealed("second"));
    assert!(second.version > first.version);
    assert_eq!(share(Some(first.version), "late").await.unwrap(), second);
    assert_eq!(store.shared_token(name()).await.unwrap(), Some(second));
    let stranger = store.shared_token(TokenName::new("apns/y")).await.unwrap();
    assert_eq!(stranger, None);
}

pub async fn of_many_who_share_a_token_at_once_one_is_used(store: Arc<dyn Store>) {
    let mut sharing = JoinSet::new();
    for number in 0..20 {
        let store = Arc::clone(&store);
        sharing.spawn(async move {
            let text = format!("token {number}");
            let name = TokenName::new("fcm/x");
            store.share_token(name, None, sealed(&text)).await.unwrap()
        });
    }
    let shared = sharing.join_all().await;
    assert!(shared.iter().all(|token| *token == shared[0]));
}
