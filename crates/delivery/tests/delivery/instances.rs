//! Ids of instances that somebody made up.

use std::sync::Arc;

use delivery::instances::Instances;
use delivery::vault::Vault;
use domain::clock::{Clock, SystemClock};
use domain::instance::{InstanceId, InstanceName, SecretKey};
use domain::seal::MasterKey;
use gateway::Gateways;
use store::Store;
use store::configuration::Configuration as _;
use store::memory::MemoryStore;

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
