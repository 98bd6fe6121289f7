//! `/i/{instance}/webhooks`

use domain::webhook::{Scheme, WebhookSecret};

use store::administration::AuditFilter;

use super::browser::Browser;
use crate::support::{Reply, Server};
use crate::webhooks::LOOPBACK;
use crate::webhooks::receiver::{Kind, Receiver, until};

/// The text of an element that has this beginning, up to its end.
fn between<'a>(page: &'a Reply, before: &str, after: &str) -> &'a str {
    let (_, rest) = page
        .body
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before}: {page:?}"));
    rest.split(after).next().unwrap()
}

fn location(reply: &Reply) -> String {
    assert_eq!(reply.status, 303, "{reply:?}");
    reply.header("location").unwrap().to_owned()
}

#[tokio::test]
async fn one_is_added_tried_repaired_and_removed() {
    let receiver = Receiver::start(Kind::Plain).await;
    let server = Server::start_with(&[LOOPBACK]).await;
    let instance = server.instance().await;
    let browser = Browser::signed_in(&server).await;
    let all = format!("/i/{}/webhooks", instance.id);
    let page = browser.get(&all).await.ok();
    let broken = receiver.url("/redirect");
    let fields = [
        ("url", broken.as_str()),
        ("event", "v1.DeviceBound"),
        ("event", "v1.DeviceRegistered"),
        ("scheme", "beams"),
        ("custom_data", "{\"app\": \"<b>\"}"),
    ];
    let added = browser.submit(&page, &all, &fields).await.ok();
    let record = server
        .app
        .store()
        .webhooks(instance.id)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(record.events.iter().count(), 2);
    let webhook = format!("{all}/{}", record.id);
    assert!(added.body.contains(&webhook));
    let (_, rest) = added.body.split_once("<dt>Secret</dt>").unwrap();
    let secret = rest
        .split("<code>")
        .nth(1)
        .unwrap()
        .split('<')
        .next()
        .unwrap();
    let key = WebhookSecret::parse(Scheme::Beams, secret).unwrap();
    for path in [&all, &webhook] {
        let page = browser.get(path).await.ok();
        assert!(!page.body.contains(secret), "shown once");
        assert!(!page.body.contains("<b>"));
    }

    // The test fails; its page says so.
    let test = browser.submit(&page, &format!("{webhook}/test"), &[]).await;
    let delivery = location(&test);
    let delivery = delivery.split('?').next().unwrap();
    let refused = receiver.next("/redirect").await;
    until("the page tells of the attempt", async || {
        let page = browser.get(delivery).await.ok();
        page.body.contains("status_302").then_some(())
    })
    .await;
    let listed = browser.get(&format!("{webhook}?state=waiting")).await.ok();
    assert!(listed.body.contains(delivery) && listed.body.contains("302"));
    assert!(listed.body.contains("Every request has failed since"));
    let failed = browser.get(&format!("{webhook}?state=failed")).await.ok();
    assert!(failed.body.contains("None in this state"));

    // Disabled, it gives up what waits; repaired and enabled, it is told again.
    let go = async |deed: &str, fields: &[(&str, &str)]| {
        let reply = browser
            .submit(&page, &format!("{webhook}/{deed}"), fields)
            .await;
        browser.get(&location(&reply)).await.ok()
    };
    let disabled = go("disable", &[]).await;
    assert!(disabled.body.contains("by hand"), "why it is disabled");
    let again = browser
        .submit(&page, &format!("{webhook}/replay-failed"), &[])
        .await;
    assert_eq!(again.status, 409);
    until("it is given up", async || {
        let page = browser.get(&format!("{webhook}?state=failed")).await.ok();
        page.body.contains(delivery).then_some(())
    })
    .await;
    let repaired = receiver.url("/ok");
    let changed = go("change", &[("url", &repaired), ("event", "v1.DeviceBound")]).await;
    assert!(changed.body.contains(&repaired));
    go("enable", &[]).await;
    let replayed = browser
        .submit(&page, &format!("{delivery}/replay"), &[])
        .await;
    let told = receiver.next("/ok").await;
    let id = told.header("webhook-request-id-uuid").to_owned();
    assert_eq!(id, refused.header("webhook-request-id-uuid"));
    assert_eq!(told.header("webhook-signature"), key.sign_beams(&told.body));
    let page_of_it = browser.get(&location(&replayed)).await.ok();
    assert!(page_of_it.body.contains("Test"), "{page_of_it:?}");
    until("both attempts are told", async || {
        let page = browser.get(delivery).await.ok();
        let both = page.body.contains("status_302") && page.body.contains(">200<");
        both.then_some(())
    })
    .await;
    let removed = go("remove", &[]).await;
    assert!(removed.body.contains("Nobody is told yet"));
    assert_eq!(browser.get(&webhook).await.status, 404);

    let filter = AuditFilter {
        instance: Some(instance.id),
        ..AuditFilter::default()
    };
    let log = server.app.store().audit_page(filter, None, 100).await;
    let log = log.unwrap();
    let deeds = log.iter().rev().map(|entry| entry.entry.action.as_str());
    let deeds: Vec<&str> = deeds.filter(|deed| deed.starts_with("webhook.")).collect();
    assert_eq!(
        deeds,
        [
            "webhook.add",
            "webhook.test",
            "webhook.disable",
            "webhook.replay_failed",
            "webhook.change",
            "webhook.enable",
            "webhook.replay",
            "webhook.remove"
        ]
    );
}

#[tokio::test]
async fn what_is_typed_wrong_is_said_and_stays_typed() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let browser = Browser::signed_in(&server).await;
    let all = format!("/i/{}/webhooks", instance.id);
    let page = browser.get(&all).await.ok();
    let event = ("event", "v1.DeviceBound");
    let good = ("url", "https://app.example/hook");
    for (fields, why) in [
        (vec![good], "choose at least one event"),
        (
            vec![("url", "https://10.0.0.1/hook"), event],
            "outbound.allow",
        ),
        (vec![("url", "nowhere"), event], "url"),
        (
            vec![good, event, ("custom_data", "[]")],
            "custom data is a JSON object",
        ),
        (
            vec![good, event, ("secret", "short"), ("scheme", "standard")],
            "whsec_",
        ),
    ] {
        let reply = browser.submit(&page, &all, &fields).await;
        assert_eq!(reply.status, 422, "{fields:?}");
        let said = between(&reply, "role=\"alert\">", "</div>").to_lowercase();
        assert!(said.contains(&why.to_lowercase()), "{said}");
        assert!(reply.body.contains(&format!("value=\"{}\"", fields[0].1)));
        assert!(
            !reply.body.contains("\"short\""),
            "a secret is not given back"
        );
    }
    assert!(
        server
            .app
            .store()
            .webhooks(instance.id)
            .await
            .unwrap()
            .is_empty()
    );
    for path in ["/none", "/00000000-0000-4000-8000-000000000000"] {
        assert_eq!(browser.get(&format!("{all}{path}")).await.status, 404);
    }
}

#[tokio::test]
async fn deliveries_come_in_pages() {
    let receiver = Receiver::start(Kind::Plain).await;
    let server = Server::start_with(&[LOOPBACK]).await;
    let instance = server.instance().await;
    let browser = Browser::signed_in(&server).await;
    let all = format!("/i/{}/webhooks", instance.id);
    let page = browser.get(&all).await.ok();
    let url = receiver.url("/ok");
    let fields = [("url", url.as_str()), ("event", "v1.DeviceRegistered")];
    browser.submit(&page, &all, &fields).await.ok();
    let record = server
        .app
        .store()
        .webhooks(instance.id)
        .await
        .unwrap()
        .remove(0);
    for number in 0..60 {
        server
            .fcm_device(&instance, &format!("token-{number}"))
            .await;
    }
    let link = format!("{all}/{}/deliveries/", record.id);
    let mut path = format!("{all}/{}", record.id);
    let mut seen = std::collections::BTreeSet::new();
    for expected in [25, 25, 10] {
        let page = browser.get(&path).await.ok();
        let ids = page
            .body
            .split(&link)
            .skip(1)
            .map(|rest| rest[..36].to_owned());
        let ids: Vec<String> = ids.collect();
        assert_eq!(ids.len(), expected);
        seen.extend(ids);
        let next = page.body.split("\" rel=\"next\"").next().unwrap();
        path = next.rsplit("href=\"").next().unwrap().replace("&amp;", "&");
    }
    assert_eq!(seen.len(), 60);
}
