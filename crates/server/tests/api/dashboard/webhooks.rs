//! `/i/{instance}/webhooks`

use domain::instance::InstanceId;
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

/// A webhook on a receiver, as its page has it.
struct Added<'a> {
    server: &'a Server,
    browser: Browser<'a>,
    /// A page with a form, and with it the form's token.
    page: Reply,
    instance: InstanceId,
    /// The path of its page.
    path: String,
    key: WebhookSecret,
}

impl<'a> Added<'a> {
    /// Adds one by its form, and reads its secret off the page that follows, which no other page has.
    async fn by_form(server: &'a Server, url: &str) -> Self {
        let instance = server.instance().await.id;
        let browser = Browser::signed_in(server).await;
        let all = format!("/i/{instance}/webhooks");
        let page = browser.get(&all).await.ok();
        let fields = [
            ("url", url),
            ("event", "v1.DeviceBound"),
            ("event", "v1.DeviceRegistered"),
            ("scheme", "beams"),
            ("custom_data", "{\"app\": \"<b>\"}"),
        ];
        let added = browser.submit(&page, &all, &fields).await.ok();
        let record = server.app.store().webhooks(instance).await.unwrap();
        assert_eq!(record[0].events.iter().count(), 2);
        let path = format!("{all}/{}", record[0].id);
        assert!(added.body.contains(&path));
        let (_, rest) = added.body.split_once("<dt>Secret</dt>").unwrap();
        let secret = rest.split("<code>").nth(1).unwrap();
        let secret = secret.split('<').next().unwrap();
        for path in [&all, &path] {
            let page = browser.get(path).await.ok();
            assert!(!page.body.contains(secret), "shown once");
            assert!(!page.body.contains("<b>"));
        }
        Self {
            server,
            key: WebhookSecret::parse(Scheme::Beams, secret).unwrap(),
            browser,
            page,
            instance,
            path,
        }
    }

    async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.browser.submit(&self.page, path, fields).await
    }

    /// Sends a form of its page, and follows to where that leads.
    async fn go(&self, deed: &str, fields: &[(&str, &str)]) -> Reply {
        let reply = self.submit(&format!("{}/{deed}", self.path), fields).await;
        self.browser.get(&location(&reply)).await.ok()
    }

    /// Waits until a page has all these texts.
    async fn says(&self, path: &str, texts: &[&str]) {
        until(&format!("{path} says {texts:?}"), async || {
            let page = self.browser.get(path).await.ok();
            let has_all = texts.iter().all(|text| page.body.contains(text));
            has_all.then_some(())
        })
        .await;
    }

    /// What was done with it, by the audit log.
    async fn deeds(&self) -> Vec<String> {
        let filter = AuditFilter {
            instance: Some(self.instance),
            ..AuditFilter::default()
        };
        let log = self.server.app.store().audit_page(filter, None, 100).await;
        let deeds = log.unwrap().into_iter().rev();
        let deeds = deeds.filter_map(|one| {
            let deed = one.entry.action.strip_prefix("webhook.")?;
            Some(deed.to_owned())
        });
        deeds.collect()
    }
}

#[tokio::test]
async fn one_is_added_tried_repaired_and_removed() {
    let receiver = Receiver::start(Kind::Plain).await;
    let server = Server::start_with(&[LOOPBACK]).await;
    let webhook = Added::by_form(&server, &receiver.url("/redirect")).await;
    let failed = format!("{}?state=failed", webhook.path);

    // The test fails; its page says so.
    let test = webhook.submit(&format!("{}/test", webhook.path), &[]).await;
    let delivery = location(&test);
    let delivery = delivery.split('?').next().unwrap();
    let refused = receiver.next("/redirect").await;
    webhook.says(delivery, &["status_302"]).await;
    let waiting = format!("{}?state=waiting", webhook.path);
    let texts = [delivery, "302", "Every request has failed since"];
    webhook.says(&waiting, &texts).await;
    webhook.says(&failed, &["None in this state"]).await;

    // Disabled, it gives up what waits; repaired and enabled, it is told again.
    let disabled = webhook.go("disable", &[]).await;
    assert!(disabled.body.contains("by hand"), "why it is disabled");
    let again = format!("{}/replay-failed", webhook.path);
    assert_eq!(webhook.submit(&again, &[]).await.status, 409);
    webhook.says(&failed, &[delivery]).await;
    let repaired = receiver.url("/ok");
    let fields = [("url", repaired.as_str()), ("event", "v1.DeviceBound")];
    let changed = webhook.go("change", &fields).await;
    assert!(changed.body.contains(&repaired));
    webhook.go("enable", &[]).await;
    webhook.submit(&format!("{delivery}/replay"), &[]).await;
    let told = receiver.next("/ok").await;
    let id = "webhook-request-id-uuid";
    assert_eq!(told.header(id), refused.header(id));
    let signature = webhook.key.sign_beams(&told.body);
    assert_eq!(told.header("webhook-signature"), signature);
    webhook.says(delivery, &["status_302", ">200<"]).await;

    let removed = webhook.go("remove", &[]).await;
    assert!(removed.body.contains("Nobody is told yet"));
    assert_eq!(webhook.browser.get(&webhook.path).await.status, 404);
    let deeds = "add test disable replay_failed change enable replay remove";
    assert_eq!(webhook.deeds().await.join(" "), deeds);
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
