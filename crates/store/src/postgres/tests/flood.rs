//! What devices ask for in any number keeps nobody else from a connection.

use std::sync::Arc;
use std::time::Duration;

use super::super::PostgresSettings;
use super::fresh;
use crate::Store;
use crate::conformance::world::{at, bound, instance, one_job, subscriber};
use crate::devices::Changed;
use crate::publishes::{Event, EventKind};

const PATIENCE: Duration = Duration::from_secs(60);
/// Whether somebody waits for what this connection holds. Activity would be told as of the transaction's begin.
const WAITS: &str = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))";

/// What devices ask for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Interests,
    User,
    Reports,
}

#[tokio::test]
async fn a_flood_of_devices_leaves_connections_to_others() {
    let settings = PostgresSettings {
        connections_max: 3,
        // Nobody is refused for want of time.
        wait_timeout: PATIENCE,
        lock_timeout: PATIENCE,
        statement_timeout: PATIENCE,
        ..PostgresSettings::default()
    };
    let Some((store, _schema)) = fresh(settings).await else {
        return;
    };
    let store = Arc::new(store);
    let shared: Arc<dyn Store> = Arc::clone(&store) as _;
    let instance = instance(&shared).await;
    let device = subscriber(&shared, instance, 1, &["news"]).await;
    // What needs a user's token or a publish's id is no less a device's.
    let publish = one_job(&shared, instance).await.0;
    let event = Event {
        instance,
        publish,
        device,
        kind: EventKind::Delivery,
        at: at(0),
        received: at(0),
        user: None,
    };
    for asked in [Asked::Interests, Asked::User, Asked::Reports] {
        // One connection holds the device, so that whoever wants to change it keeps another.
        let holder = store.sessions.session().await.unwrap();
        holder
            .batch("BEGIN; SELECT 1 FROM devices FOR UPDATE; SELECT 1 FROM publishes FOR UPDATE")
            .await
            .unwrap();
        let mut flood = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (store, event) = (Arc::clone(&shared), event.clone());
            flood.spawn(async move {
                match asked {
                    Asked::Interests => {
                        let set = store.set_interests(instance, device, Vec::new(), at(0));
                        assert_eq!(set.await.unwrap(), Changed::Done);
                    }
                    Asked::User => bound(&store, instance, device, "ann").await,
                    Asked::Reports => {
                        store.record_events(vec![event]).await.unwrap();
                    }
                }
            });
        }
        while !holder.known::<bool>(WAITS, &[]).await.unwrap() {
            tokio::task::yield_now().await;
        }
        // The third is for others, however many devices there are.
        for _ in 0..10 {
            shared.instances().await.unwrap();
            shared.configuration_version().await.unwrap();
        }
        assert!(flood.try_join_next().is_none(), "the device is still held");
        holder.batch("COMMIT").await.unwrap();
        drop(holder);
        flood.join_all().await;
    }
}
