//! Forms are believed only from our own pages, and change only what the visitor may change.

use domain::admin_token::Right;
use store::administration::{AuditEntry, AuditFilter};

use super::browser::{Browser, admin_token, form_token};
use crate::support::{Instance, Server};

/// Every form that changes something, with fields that would do it.
fn deeds(instance: &Instance, device: &str) -> Vec<(String, Vec<(&'static str, String)>)> {
    let base = format!("/i/{}", instance.id);
    let publish = format!("{base}/publishes/pubid-00000000-0000-4000-8000-000000000000");
    let user = || ("user", "alice".to_owned());
    let webhook = format!("{base}/webhooks/00000000-0000-4000-8000-000000000000");
    let delivery = format!("{webhook}/deliveries/00000000-0000-4000-8000-000000000000");
    let hook = || {
        vec![
            ("url", "https://app.example/hook".into()),
            ("event", "v1.DeviceBound".into()),
        ]
    };
    vec![
        (format!("{base}/webhooks"), hook()),
        (format!("{webhook}/change"), hook()),
        (format!("{webhook}/enable"), vec![]),
        (format!("{webhook}/disable"), vec![]),
        (format!("{webhook}/test"), vec![]),
        (format!("{webhook}/remove"), vec![]),
        (format!("{webhook}/replay-failed"), vec![]),
        (format!("{delivery}/replay"), vec![]),
        (
            format!("{base}/compose"),
            vec![
                ("names", "alice".into()),
                ("title", "Hi".into()),
                ("platform", "fcm".into()),
                ("step", "send".into()),
            ],
        ),
        (format!("{base}/settings/keys"), vec![]),
        (
            format!("{base}/settings/keys/revoke"),
            vec![("number", "1".into())],
        ),
        (
            format!("{base}/settings/credentials"),
            vec![("platform", "fcm".into()), ("key", "{}".into())],
        ),
        (
            format!("{base}/settings/delete"),
            vec![("confirm", "test".into())],
        ),
        (format!("{base}/people/delete-user"), vec![user()]),
        (format!("{base}/people/test"), vec![user()]),
        (
            format!("{base}/people/delete-device"),
            vec![("device", device.into())],
        ),
        (
            format!("{base}/people/unbind-device"),
            vec![("device", device.into())],
        ),
        (
            format!("{base}/settings/credentials/check"),
            vec![("platform", "fcm".into())],
        ),
        (
            format!("{base}/people/test-device"),
            vec![("device", device.into())],
        ),
        (
            format!("{base}/console/payloads"),
            vec![("show", "yes".into())],
        ),
        (format!("{base}/try/token"), vec![user()]),
        (format!("{base}/try/send"), vec![user()]),
        (format!("{publish}/cancel"), vec![]),
        (format!("{publish}/replay"), vec![]),
        ("/instances".to_owned(), vec![("name", "another".into())]),
    ]
}

fn borrowed<'a>(fields: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

/// What must be as it was.
async fn unchanged(server: &Server, instance: &Instance, device: &str) {
    let store = server.app.store();
    let record = store.instance(instance.id).await.unwrap().unwrap();
    assert_eq!((record.secret_keys.len(), record.credentials.len()), (1, 0));
    assert_eq!(store.instances().await.unwrap().len(), 1);
    let device = domain::device::DeviceId::parse(device).unwrap();
    let device = store.device(instance.id, device).await.unwrap();
    assert!(device.is_some_and(|device| device.user.is_some()));
    assert!(!store.shows_payloads(instance.id).await.unwrap());
    let publishes = store
        .list_publishes(instance.id, None, None, 10)
        .await
        .unwrap();
    assert!(publishes.publishes.is_empty());
    assert!(store.webhooks(instance.id).await.unwrap().is_empty());
}

async fn stage(server: &Server) -> (Instance, String) {
    let instance = server.instance().await;
    let device = server.fcm_device(&instance, "t").await;
    server.bind(&instance, &device, "alice").await.ok();
    (instance, device)
}

#[tokio::test]
async fn forged_forms_change_nothing() {
    let server = Server::start().await;
    let (instance, device) = stage(&server).await;
    let browser = Browser::signed_in(&server).await;
    let good = form_token(&browser.get("/").await);
    let of_another = form_token(&Browser::signed_in(&server).await.get("/").await);
    for (path, fields) in deeds(&instance, &device) {
        for token in ["", "0", of_another.as_str()] {
            let mut fields = borrowed(&fields);
            fields.push(("form_token", token));
            let reply = browser.post(&path, &fields, &[]).await;
            assert_eq!(reply.status, 403, "{path} with the token {token:?}");
        }
        let reply = browser.post(&path, &borrowed(&fields), &[]).await;
        assert_eq!(reply.status, 403, "{path} without a token");
        let mut fields = borrowed(&fields);
        fields.push(("form_token", &good));
        for elsewhere in ["cross-site", "same-site"] {
            let reply = browser
                .post(&path, &fields, &[("Sec-Fetch-Site", elsewhere)])
                .await;
            assert_eq!(reply.status, 403, "{path} from {elsewhere}");
        }
    }
    unchanged(&server, &instance, &device).await;
}

#[tokio::test]
async fn nobody_without_a_session_changes_anything() {
    let server = Server::start().await;
    let (instance, device) = stage(&server).await;
    let browser = Browser::new(&server);
    let page = browser.get("/sign-in").await;
    for (path, fields) in deeds(&instance, &device) {
        let reply = browser.submit(&page, &path, &borrowed(&fields)).await;
        assert_eq!(reply.status, 303, "{path}");
        assert!(
            reply.header("location").unwrap().starts_with("/sign-in"),
            "{path}"
        );
    }
    unchanged(&server, &instance, &device).await;
}

#[tokio::test]
async fn who_may_only_read_changes_nothing() {
    let server = Server::start().await;
    let (instance, device) = stage(&server).await;
    let token = admin_token(&server, None, Right::Read).await;
    let browser = Browser::with_token(&server, &token).await;
    let page = browser.get("/").await.ok();
    for (path, fields) in deeds(&instance, &device) {
        let reply = browser.submit(&page, &path, &borrowed(&fields)).await;
        assert_eq!(reply.status, 403, "{path}");
    }
    unchanged(&server, &instance, &device).await;
}

#[tokio::test]
async fn another_instance_is_as_good_as_none() {
    let server = Server::start().await;
    let (instance, device) = stage(&server).await;
    let other = server.instance().await;
    let token = admin_token(&server, Some(&other), Right::Write).await;
    let browser = Browser::with_token(&server, &token).await;
    let page = browser.get("/").await.ok();
    assert!(!page.body.contains(&instance.id.to_string()));
    for (path, fields) in deeds(&instance, &device) {
        let status = browser
            .submit(&page, &path, &borrowed(&fields))
            .await
            .status;
        let expected = if path == "/instances" { 403 } else { 404 };
        assert_eq!(status, expected, "{path}");
    }
    for path in super::browser::PAGES {
        let reply = browser.get(&format!("/i/{}{path}", instance.id)).await;
        assert_eq!(reply.status, 404, "{path}");
    }
    assert_eq!(
        browser
            .get(&format!("/try?instance={}", instance.id))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn every_form_that_changes_something_is_written_down() {
    let server = Server::start().await;
    let browser = Browser::signed_in(&server).await;
    let page = browser.get("/").await.ok();
    let (template, device) = stage(&server).await;
    let count = deeds(&template, &device).len();
    for at in 0..count {
        // Each on an instance of its own: one of them deletes it.
        let (instance, device) = stage(&server).await;
        let (path, fields) = deeds(&instance, &device).swap_remove(at);
        if path.ends_with("/settings/credentials") {
            // What is no credential is refused before anything is tried.
            continue;
        }
        let before = newest(&server).await;
        let reply = browser.submit(&page, &path, &borrowed(&fields)).await;
        let entry = newest(&server).await;
        assert_ne!(entry.id, before.id, "{path}: {}", reply.status);
        assert_eq!(entry.entry.actor, "session", "{path}");
        if path != "/instances" {
            assert_eq!(entry.entry.instance, Some(instance.id), "{path}");
        }
        if path.ends_with("/try/token") {
            assert_eq!(entry.entry.action, "beams_token.create");
            assert!(
                entry
                    .entry
                    .user
                    .is_some_and(|user| user.as_str() == "alice")
            );
        }
    }
}

async fn newest(server: &Server) -> AuditEntry {
    let filter = AuditFilter::default();
    let mut log = server
        .app
        .store()
        .audit_page(filter, None, 1)
        .await
        .unwrap();
    log.remove(0)
}

#[tokio::test]
async fn an_instance_goes_only_by_its_name() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let browser = Browser::signed_in(&server).await;
    let page = browser
        .get(&format!("/i/{}/settings", instance.id))
        .await
        .ok();
    let path = format!("/i/{}/settings/delete", instance.id);
    let reply = browser.submit(&page, &path, &[("confirm", "tes")]).await;
    assert_eq!(reply.status, 422);
    assert!(
        server
            .app
            .store()
            .instance(instance.id)
            .await
            .unwrap()
            .is_some()
    );
    let reply = browser.submit(&page, &path, &[("confirm", "test")]).await;
    assert_eq!(reply.status, 303);
    assert!(
        server
            .app
            .store()
            .instance(instance.id)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_key_is_rotated() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let browser = Browser::signed_in(&server).await;
    let settings = format!("/i/{}/settings", instance.id);
    let page = browser.get(&settings).await.ok();
    assert!(!page.body.contains(instance.key.reveal()));
    let shown = browser
        .submit(&page, &format!("{settings}/keys"), &[])
        .await
        .ok();
    let record = server
        .app
        .store()
        .instance(instance.id)
        .await
        .unwrap()
        .unwrap();
    let fresh = server
        .app
        .vault()
        .open_secret_key(instance.id, &record.secret_keys[1])
        .unwrap();
    assert!(shown.body.contains(fresh.reveal()), "shown this once");
    assert!(!browser.get(&settings).await.body.contains(fresh.reveal()));
    let old = record.secret_keys[0].id.0.to_string();
    let revoke = format!("{settings}/keys/revoke");
    assert_eq!(
        browser
            .submit(&page, &revoke, &[("number", &old)])
            .await
            .status,
        303
    );
    let last = record.secret_keys[1].id.0.to_string();
    let reply = browser.submit(&page, &revoke, &[("number", &last)]).await;
    assert_eq!(reply.status, 409, "the last key stays");
}

#[tokio::test]
async fn a_device_is_taken_from_its_user_and_stays() {
    let server = Server::start().await;
    let (instance, device) = stage(&server).await;
    let browser = Browser::signed_in(&server).await;
    let people = format!("/i/{}/people", instance.id);
    let user = browser.get(&format!("{people}?user=alice")).await.ok();
    assert!(user.body.contains("unbind-device"));
    let path = format!("{people}/unbind-device");
    let fields = [("device", device.as_str()), ("back", "user")];
    let reply = browser.submit(&user, &path, &fields).await;
    assert_eq!(reply.status, 303);
    let after = browser.get(reply.header("location").unwrap()).await.ok();
    assert!(after.body.contains("the user’s no more") && !after.body.contains(&device));
    let page = browser.get(&format!("{people}?device={device}")).await.ok();
    assert!(page.body.contains("nobody") && !page.body.contains("unbind-device"));
    server.bind(&instance, &device, "bob").await.ok();
}

#[tokio::test]
async fn what_is_in_force_is_shown() {
    let server = Server::start_with(&[("retention.publishes_days", "7")]).await;
    let instance = server.instance().await;
    let browser = Browser::signed_in(&server).await;
    let page = browser
        .get(&format!("/i/{}/settings", instance.id))
        .await
        .ok();
    for text in [
        "Retention in force",
        "7 days after they finished",
        "365 days",
        "To the webhooks",
    ] {
        assert!(page.body.contains(text), "{text}");
    }
    let payloads = format!("/i/{}/console/payloads", instance.id);
    browser.submit(&page, &payloads, &[("show", "yes")]).await;
    let log = newest(&server).await;
    assert_eq!(log.entry.action, "console.payloads");
    assert_eq!(log.entry.subject.as_deref(), Some("shown"));
}
