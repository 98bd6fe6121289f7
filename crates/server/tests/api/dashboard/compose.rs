//! A notification is checked, counted, and only then sent.

use super::browser::Browser;
use crate::support::{Instance, Server};

#[tokio::test]
async fn a_dry_run_comes_first_and_sends_nothing() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let device = server.fcm_device(&instance, "t").await;
    server.bind(&instance, &device, "alice").await.ok();
    let browser = Browser::signed_in(&server).await;
    let path = format!("/i/{}/compose", instance.id);
    let page = browser.get(&format!("{path}?user=alice")).await.ok();
    assert!(page.body.contains("alice</textarea>"));
    let fields = [
        ("audience", "users"),
        ("names", "alice\r\nbob"),
        ("title", "Hi"),
        ("platform", "fcm"),
        ("platform", "web"),
    ];
    let checked = browser.submit(&page, &path, &fields).await.ok();
    assert!(
        checked.body.contains("It would reach 1 device"),
        "{}",
        checked.body
    );
    assert!(checked.body.contains("1 of 2"));
    let store = server.app.store();
    let publishes = store
        .list_publishes(instance.id, None, None, 10)
        .await
        .unwrap();
    assert!(publishes.publishes.is_empty());
    let mut fields = fields.to_vec();
    fields.push(("step", "send"));
    let sent = browser.submit(&page, &path, &fields).await;
    let report = browser.get(sent.header("location").unwrap()).await.ok();
    assert!(report.body.contains("Accepted. It is on its way.") && report.body.contains("bob"));
    assert_eq!(
        store
            .list_publishes(instance.id, None, None, 10)
            .await
            .unwrap()
            .publishes
            .len(),
        1
    );
}

#[tokio::test]
async fn what_breaks_a_rule_is_said_and_nothing_is_lost() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let browser = Browser::signed_in(&server).await;
    let path = format!("/i/{}/compose", instance.id);
    let page = browser.get(&path).await.ok();
    let long = "x".repeat(165);
    for (fields, why) in [
        (
            vec![("names", "alice"), ("platform", "web")],
            "Write a title",
        ),
        (
            vec![("title", "Kept"), ("platform", "web")],
            "Say whom it is for",
        ),
        (
            vec![("title", "Kept"), ("names", "alice")],
            "at least one of apns, fcm, web",
        ),
        (
            vec![
                ("title", "Kept"),
                ("names", long.as_str()),
                ("platform", "web"),
            ],
            "164",
        ),
        (
            vec![
                ("title", "Kept"),
                ("names", "a b"),
                ("audience", "interests"),
                ("platform", "web"),
            ],
            "nterest",
        ),
        (
            vec![
                ("title", "Kept"),
                ("names", "a"),
                ("data", "[]"),
                ("platform", "web"),
            ],
            "JSON object",
        ),
    ] {
        let reply = browser.submit(&page, &path, &fields).await;
        assert_eq!(reply.status, 422, "{fields:?}");
        assert!(
            reply.body.contains(why) && reply.body.contains("role=\"alert\""),
            "{why}: {}",
            reply.body
        );
        assert!(
            fields[0].0 != "title" || reply.body.contains("value=\"Kept\""),
            "{fields:?}"
        );
    }
}

#[tokio::test]
async fn a_second_click_sends_nothing_more() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let browser = Browser::signed_in(&server).await;
    let path = format!("/i/{}/compose", instance.id);
    let page = browser.get(&path).await.ok();
    let fields = [("names", "alice"), ("title", "Hi"), ("platform", "web")];
    let checked = browser.submit(&page, &path, &fields).await.ok();
    let (_, rest) = checked.body.split_once("name=\"once\" value=\"").unwrap();
    let once = rest.split('"').next().unwrap();
    let mut again = fields.to_vec();
    again.extend([("step", "send"), ("once", once)]);
    let first = browser.submit(&page, &path, &again).await;
    let second = browser.submit(&page, &path, &again).await;
    assert_eq!(first.status, 303);
    assert_eq!(first.header("location"), second.header("location"));
    again[1] = ("title", "Other words");
    assert_eq!(browser.submit(&page, &path, &again).await.status, 409);
    let store = server.app.store();
    let publishes = store.list_publishes(instance.id, None, None, 10).await;
    assert_eq!(publishes.unwrap().publishes.len(), 1);
}

#[tokio::test]
async fn a_publish_may_wait_for_its_time() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let browser = Browser::signed_in(&server).await;
    let path = format!("/i/{}/compose", instance.id);
    let page = browser.get(&path).await.ok();
    let fields = [("names", "alice"), ("title", "Hi"), ("platform", "web")];
    let at = |secs| {
        let text = crate::support::NOW
            .after(std::time::Duration::from_secs(secs))
            .to_string();
        text[..16].to_owned()
    };
    let (soon, later, far) = (at(3600), at(7200), at(400 * 24 * 3600));
    for (name, time) in [
        ("send_at", far.as_str()),
        ("expires_at", "2001-01-01T00:00"),
        ("send_at", "soon"),
    ] {
        let mut fields = fields.to_vec();
        fields.push((name, time));
        let reply = browser.submit(&page, &path, &fields).await;
        assert_eq!(reply.status, 422, "{name} {time}");
    }
    let mut fields = fields.to_vec();
    fields.extend([("send_at", soon.as_str()), ("expires_at", later.as_str())]);
    let checked = browser.submit(&page, &path, &fields).await.ok();
    assert!(checked.body.contains("Send it at"));
    fields.push(("step", "send"));
    let sent = browser.submit(&page, &path, &fields).await;
    let report = browser.get(sent.header("location").unwrap()).await.ok();
    assert!(report.body.contains("It waits for its time") && report.body.contains("scheduled"));
}

#[tokio::test]
async fn what_a_person_sends_counts_like_what_a_backend_sends() {
    let server = Server::start_with(&[("limits.publishes_per_second_max", "1")]).await;
    let (instance, other) = (server.instance().await, server.instance().await);
    let browser = Browser::signed_in(&server).await;
    let page = browser.get("/").await.ok();
    let sends = |instance: &Instance| {
        let base = format!("/i/{}", instance.id);
        let unknown = "publishes/pubid-00000000-0000-4000-8000-000000000000";
        [
            format!("{base}/try/send"),
            format!("{base}/people/test"),
            format!("{base}/{unknown}/replay"),
            format!("{base}/compose"),
        ]
    };
    let fields = [
        ("user", "alice"),
        ("names", "alice"),
        ("title", "Hi"),
        ("platform", "fcm"),
        ("step", "send"),
    ];
    let [first, ..] = sends(&instance);
    browser.submit(&page, &first, &fields).await.ok();
    for path in sends(&instance) {
        let refused = browser.submit(&page, &path, &fields).await;
        assert_eq!(refused.status, 429, "{path}");
        assert!(refused.body.contains("try again in 1 s"), "{path}");
    }
    // A dry run sends nothing, and another instance has a rate of its own.
    let [.., compose] = sends(&instance);
    browser.submit(&page, &compose, &fields[..4]).await.ok();
    let [.., compose] = sends(&other);
    let sent = browser.submit(&page, &compose, &fields).await;
    assert_eq!(sent.status, 303);
    let listed = server
        .app
        .store()
        .list_publishes(instance.id, None, None, 10);
    assert_eq!(listed.await.unwrap().publishes.len(), 1);
}
