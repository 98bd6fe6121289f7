//! Rules of admin tokens, the audit log, and lists of devices and users.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::admin_token::{AdminToken, AdminTokenName, Reach, Right, Scope};
use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Platform};
use domain::instance::{InstanceId, InstanceName};
use domain::user::UserId;

use super::world::*;
use crate::Store;
use crate::administration::{
    AdminTokenId, AuditFilter, AuditId, AuditOutcome, DeviceFilter, NewAdminToken, NewAuditEntry,
};

fn entry(action: &str, at: Timestamp) -> NewAuditEntry {
    NewAuditEntry {
        at,
        actor: "command_line".into(),
        token: None,
        token_name: None,
        action: action.into(),
        instance: None,
        subject: None,
        user: None,
    }
}

fn new_token(token: &AdminToken, scope: Scope) -> NewAdminToken {
    NewAdminToken {
        digest: token.digest(),
        hint: token.hint(),
        name: AdminTokenName::parse("a script").unwrap(),
        scope,
        created_at: at(0),
        expires_at: Some(at(60)),
    }
}

async fn add(store: &Arc<dyn Store>, token: &AdminToken, scope: Scope) -> AdminTokenId {
    let new = new_token(token, scope);
    let added = store.add_admin_token(new, entry("admin_token.create", at(0)));
    added.await.unwrap().expect("there is room")
}

/// Leaves a token and entries about a user behind.
pub(super) async fn manage(store: &Arc<dyn Store>, instance: InstanceId) {
    add(store, &AdminToken::random(), Scope::FULL).await;
    let about = NewAuditEntry {
        instance: Some(instance),
        subject: Some("something".into()),
        user: Some(user("ann")),
        ..entry("user.delete", at(2))
    };
    store.append_audit(about).await.unwrap();
}

async fn actions(store: &Arc<dyn Store>, filter: AuditFilter) -> Vec<String> {
    let page = store.audit_page(filter, None, 100).await.unwrap();
    page.into_iter().map(|entry| entry.entry.action).collect()
}

pub async fn an_admin_token_reads_back(store: Arc<dyn Store>) {
    let (token, other) = (AdminToken::random(), AdminToken::random());
    let instances = BTreeSet::from([InstanceId::random(), InstanceId::random()]);
    let confined = Scope {
        reach: Reach::Some(instances),
        right: Right::Read,
    };
    let first = add(&store, &token, confined.clone()).await;
    let second = add(&store, &other, Scope::FULL).await;
    let found = store.admin_token(token.digest()).await.unwrap().unwrap();
    assert_eq!((found.id, found.used_at), (first, None));
    assert_eq!(found.token.digest, token.digest());
    assert_eq!(found.token.hint, token.hint());
    assert_eq!(found.token.name.as_str(), "a script");
    assert_eq!(found.token.scope, confined);
    assert_eq!(found.token.created_at, at(0));
    assert_eq!(found.token.expires_at, Some(at(60)));
    let all = store.admin_tokens().await.unwrap();
    let ids: Vec<_> = all.iter().map(|record| record.id).collect();
    assert_eq!(ids, [first, second]);
    assert_eq!(all[1].token.scope, Scope::FULL);
    let nobody = AdminToken::random().digest();
    assert!(store.admin_token(nobody).await.unwrap().is_none());
}

pub async fn a_revoked_admin_token_is_gone_and_told_of(store: Arc<dyn Store>) {
    let token = AdminToken::random();
    let id = add(&store, &token, Scope::FULL).await;
    let revoke = || store.revoke_admin_token(id, entry("admin_token.revoke", at(1)));
    assert!(revoke().await.unwrap());
    assert!(!revoke().await.unwrap(), "it is gone");
    assert!(store.admin_token(token.digest()).await.unwrap().is_none());
    assert!(store.admin_tokens().await.unwrap().is_empty());
    let told = actions(&store, AuditFilter::default()).await;
    assert_eq!(told, ["admin_token.revoke", "admin_token.create"]);
    let again = add(&store, &token, Scope::FULL).await;
    assert!(again > id, "numbers do not repeat");
}

pub async fn the_last_use_of_an_admin_token_only_moves_on(store: Arc<dyn Store>) {
    let token = AdminToken::random();
    let id = add(&store, &token, Scope::FULL).await;
    for (now, shown) in [(at(5), at(5)), (at(3), at(5)), (at(9), at(9))] {
        store.touch_admin_token(id, now).await.unwrap();
        let found = store.admin_token(token.digest()).await.unwrap().unwrap();
        assert_eq!(found.used_at, Some(shown));
    }
    let nobody = AdminTokenId(id.0 + 1);
    store.touch_admin_token(nobody, at(9)).await.unwrap();
}

pub async fn the_audit_log_is_read_backwards_in_pages(store: Arc<dyn Store>) {
    let mut ids = Vec::new();
    for number in 0..7 {
        let id = store.append_audit(entry(&format!("a.{number}"), at(number)));
        ids.push(id.await.unwrap());
    }
    ids.reverse();
    let mut found: Vec<AuditId> = Vec::new();
    loop {
        let after = found.last().copied();
        let page = store.audit_page(AuditFilter::default(), after, 3);
        let page = page.await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 3);
        assert!(page.iter().all(|e| e.outcome == AuditOutcome::Begun));
        found.extend(page.iter().map(|entry| entry.id));
    }
    assert_eq!(found, ids);
}

pub async fn an_audit_entry_is_concluded(store: Arc<dyn Store>) {
    let mine = InstanceId::random();
    let whole = NewAuditEntry {
        at: at(1),
        actor: "token".into(),
        token: Some(AdminTokenId(7)),
        token_name: Some("a script".into()),
        action: "user.delete".into(),
        instance: Some(mine),
        subject: Some("x".into()),
        user: Some(user("ann")),
    };
    let done = store.append_audit(whole.clone()).await.unwrap();
    let failed = store.append_audit(entry("b", at(2))).await.unwrap();
    store
        .conclude_audit(done, AuditOutcome::Done)
        .await
        .unwrap();
    let why = AuditOutcome::Failed("no such device".into());
    store.conclude_audit(failed, why.clone()).await.unwrap();
    let gone = AuditId(failed.0 + 1);
    store.conclude_audit(gone, why.clone()).await.unwrap();
    let page = store
        .audit_page(AuditFilter::default(), None, 10)
        .await
        .unwrap();
    assert_eq!(page.len(), 2);
    assert_eq!((page[0].id, &page[0].outcome), (failed, &why));
    assert_eq!((page[1].id, &page[1].outcome), (done, &AuditOutcome::Done));
    assert_eq!(page[1].entry, whole);
}

pub async fn the_audit_log_is_filtered(store: Arc<dyn Store>) {
    let (mine, other) = (InstanceId::random(), InstanceId::random());
    for (action, instance, name) in [
        ("a", Some(mine), Some("ann")),
        ("b", Some(mine), Some("bob")),
        ("c", Some(other), Some("ann")),
        ("d", None, None),
        ("e", Some(mine), None),
    ] {
        let entry = NewAuditEntry {
            instance,
            user: name.map(user),
            ..entry(action, at(0))
        };
        store.append_audit(entry).await.unwrap();
    }
    let of = |instance, name: Option<&str>| AuditFilter {
        instance,
        user: name.map(user),
    };
    assert_eq!(
        actions(&store, of(None, None)).await,
        ["e", "d", "c", "b", "a"]
    );
    assert_eq!(actions(&store, of(Some(mine), None)).await, ["e", "b", "a"]);
    assert_eq!(actions(&store, of(Some(mine), Some("ann"))).await, ["a"]);
    assert_eq!(actions(&store, of(None, Some("ann"))).await, ["c", "a"]);
}

pub async fn old_audit_entries_are_pruned_alone(store: Arc<dyn Store>) {
    for number in 0..5 {
        let entry = entry(&number.to_string(), at(number));
        store.append_audit(entry).await.unwrap();
    }
    assert_eq!(store.prune_audit(at(3), 2).await.unwrap(), 2);
    assert_eq!(store.prune_audit(at(3), 2).await.unwrap(), 1);
    assert_eq!(store.prune_audit(at(3), 2).await.unwrap(), 0);
    assert_eq!(actions(&store, AuditFilter::default()).await, ["4", "3"]);
}

pub async fn an_instance_is_renamed(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let before = store.configuration_version().await.unwrap();
    let name = InstanceName::parse("another name").unwrap();
    assert!(store.rename_instance(mine, name.clone()).await.unwrap());
    assert!(store.configuration_version().await.unwrap() > before);
    let name_of = async |id| store.instance(id).await.unwrap().unwrap().name;
    assert_eq!(name_of(mine).await, name);
    assert_eq!(name_of(other).await.as_str(), "an app");
    let unknown = InstanceId::random();
    assert!(!store.rename_instance(unknown, name).await.unwrap());
}

async fn listed(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    filter: DeviceFilter,
) -> Vec<(domain::device::DeviceId, Option<UserId>)> {
    let mut found = Vec::new();
    let mut after = DeviceOrdinal::default();
    loop {
        let page = store.list_devices(instance, filter.clone(), after, 2);
        let page = page.await.unwrap();
        assert!(page.len() <= 2 && page.iter().all(|one| one.ordinal > after));
        let Some(last) = page.last() else {
            return found;
        };
        after = last.ordinal;
        found.extend(page.into_iter().map(|one| (one.device.id, one.device.user)));
    }
}

pub async fn devices_are_listed_by_instance_user_and_interest(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let mut devices = Vec::new();
    for number in 0..5 {
        let interests: &[&str] = if number % 2 == 0 { &["even"] } else { &["odd"] };
        devices.push(subscriber(&store, mine, number, interests).await);
        subscriber(&store, other, number, &["even", "odd"]).await;
    }
    bound(&store, mine, devices[1], "ann").await;
    bound(&store, mine, devices[4], "ann").await;
    let ids = |found: Vec<(domain::device::DeviceId, Option<UserId>)>| -> Vec<_> {
        found.into_iter().map(|(id, _)| id).collect()
    };
    let all = listed(&store, mine, DeviceFilter::All).await;
    assert_eq!(all[1].1, Some(user("ann")));
    assert_eq!(all[2].1, None);
    assert_eq!(ids(all), devices);
    let of = DeviceFilter::User(user("ann"));
    let (second, fifth) = (devices[1], devices[4]);
    assert_eq!(ids(listed(&store, mine, of.clone()).await), [second, fifth]);
    assert!(listed(&store, other, of).await.is_empty());
    let even = DeviceFilter::Interest(interest("even"));
    let wanted = [devices[0], devices[2], devices[4]];
    assert_eq!(ids(listed(&store, mine, even).await), wanted);
    let nobody = DeviceFilter::Interest(interest("nobody"));
    assert!(listed(&store, mine, nobody).await.is_empty());
    let unknown = InstanceId::random();
    assert!(listed(&store, unknown, DeviceFilter::All).await.is_empty());
}

pub async fn a_recipient_is_where_a_device_is_reached(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let token = token(Platform::Web, 3);
    let id = device(&store, mine, token.clone()).await;
    let found = store.recipient(mine, id).await.unwrap().unwrap();
    assert_eq!((found.token, found.registered_at), (token, at(0)));
    assert!(store.recipient(other, id).await.unwrap().is_none());
}

pub async fn users_are_listed_by_prefix(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let names = ["a", "an", "ann", "anna", "an_", "ann%", "b", "Ann", "änn"];
    for (number, name) in names.into_iter().enumerate() {
        let id = device(&store, mine, token(Platform::Fcm, number)).await;
        bound(&store, mine, id, name).await;
    }
    let second = device(&store, mine, token(Platform::Web, 0)).await;
    let since = store
        .bind_user(mine, second, user("ann"), DEVICES_MAX, at(9))
        .await;
    assert_eq!(since.unwrap(), crate::devices::Bound::Done);
    let all = async |instance, prefix: &str| {
        let mut found: Vec<String> = Vec::new();
        loop {
            let after = found.last().map(|last| user(last));
            let page = store.list_users(instance, prefix, after, 2).await.unwrap();
            assert!(page.len() <= 2);
            if page.is_empty() {
                return found;
            }
            found.extend(page.into_iter().map(|one| one.user.as_str().to_owned()));
        }
    };
    let mut sorted = names;
    sorted.sort_unstable();
    assert_eq!(all(mine, "").await, sorted);
    assert_eq!(all(mine, "ann").await, ["ann", "ann%", "anna"]);
    assert_eq!(all(mine, "an_").await, ["an_"]);
    assert!(all(mine, "x").await.is_empty());
    assert!(all(other, "").await.is_empty());
    let ann = store.list_users(mine, "ann", None, 1).await.unwrap();
    assert_eq!((ann[0].devices, ann[0].bound_at), (2, Some(at(0))));
    assert_eq!(ann[0].registered_at, at(0));
}
