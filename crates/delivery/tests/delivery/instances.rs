//! What is known of instances: of made up ones, and of those that change.

use std::sync::Arc;

use delivery::instances::{FRESH_FOR, Instances};
use delivery::vault::Vault;
use domain::clock::{Clock, SystemClock};
use domain::instance::{InstanceId, InstanceName, SecretKey};
use domain::seal::MasterKey;
use futures_util::poll;
use gateway::Gateways;
use store::Store;
use store::configuration::Configuration as _;
use store::memory::MemoryStore;
use store::sqlite::{SqliteSettings, SqliteStore};

const STRANGERS: u64 = 100;

#[tokio::test]
async fn a_made_up_instance_costs_a_look_at_the_version_and_no_more() {
    let store = Arc::new(MemoryStore::default());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let vault = Vault::new(MasterKey::random());
    let gateways = Gateways::new(gateway::Config::default(), Arc::clone(&clock)).unwrap();
    let shared: Arc<dyn Store> = Arc::clone(&store) as _;
    let instances = Instances::new(shared, vault.clone(), gateways, clock.clone());

    let before = store.steps();
    for _ in 0..STRANGERS {
        assert!(instances.get(InstanceId::random()).await.unwrap().is_none());
    }
    // The version each, where nobody else waits for it at the same time; once, which instances there are.
    let asked = store.steps() - before;
    assert!(asked <= STRANGERS + 2, "{asked}");

    // One that is made is there at once, for whoever has asked for it before as well.
    let id = InstanceId::random();
    assert!(instances.get(id).await.unwrap().is_none());
    let name = InstanceName::parse("new").unwrap();
    let new = vault.new_instance(id, name, &SecretKey::random(), clock.now());
    store.create_instance(new.unwrap()).await.unwrap();
    assert!(instances.get(id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_look_that_is_called_off_keeps_no_revoked_key_alive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heliostat.db");
    // Unlike the one in memory, it answers later.
    let store = SqliteStore::open(&path, SqliteSettings::default()).await;
    let store: Arc<dyn Store> = Arc::new(store.unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let vault = Vault::new(MasterKey::random());
    let gateways = Gateways::new(gateway::Config::default(), Arc::clone(&clock)).unwrap();
    let instances = Instances::new(Arc::clone(&store), vault.clone(), gateways, clock.clone());
    let (id, name) = (InstanceId::random(), InstanceName::parse("stays").unwrap());
    let (old, fresh) = (SecretKey::random(), SecretKey::random());
    let new = vault.new_instance(id, name, &old, clock.now()).unwrap();
    store.create_instance(new).await.unwrap();
    let first = store.instance(id).await.unwrap().unwrap().secret_keys[0].id;
    assert!(
        instances
            .get(id)
            .await
            .unwrap()
            .unwrap()
            .accepts(old.reveal())
    );

    let added = vault.new_secret_key(id, &fresh, clock.now()).unwrap();
    store.add_secret_key(id, added).await.unwrap();
    assert!(store.revoke_secret_key(id, first).await.unwrap());
    tokio::time::pause();
    tokio::time::advance(FRESH_FOR).await;
    tokio::time::resume();
    {
        let mut gone = Box::pin(instances.get(id));
        // Should it be answered at once, it has looked.
        drop(poll!(&mut gone));
    }
    assert!(
        !instances
            .get(id)
            .await
            .unwrap()
            .unwrap()
            .accepts(old.reveal())
    );
    store.close().await;
}
