//! What people put into names is text, and stays text, on every page.

use domain::instance::{InstanceId, InstanceName, SecretKey};
use http::Method;

use super::browser::{Browser, PAGES};
use crate::support::{Instance, JSON, NOW, Server, devices};

const NAME: &str = "<script>alert('name')</script>\"' onload=alert(1)";
const USERS: [&str; 4] = [
    "\"><img src=x onerror=alert('user')>",
    "'};alert(1)//</script><svg/onload=alert(2)>",
    "\u{202e}مستخدم\u{2066}<b>",
    "javascript:alert(1)",
];
const METADATA: &str = "</code><script>alert('metadata')</script>";

async fn stage(server: &Server) -> (Instance, Vec<String>) {
    let (id, key) = (InstanceId::random(), SecretKey::random());
    let name = InstanceName::parse(NAME).unwrap();
    let new = server
        .app
        .vault()
        .new_instance(id, name, &key, NOW)
        .unwrap();
    server.app.store().create_instance(new).await.unwrap();
    let instance = Instance { id, key };
    let mut made = Vec::new();
    for (n, user) in USERS.into_iter().enumerate() {
        let body =
            serde_json::json!({"token": format!("t{n}"), "metadata": {"sdkVersion": METADATA}});
        let reply = server
            .post(&format!("{}/fcm", devices(&instance)), &body.to_string())
            .await
            .ok();
        let device = reply.json()["id"].as_str().unwrap().to_owned();
        server.bind(&instance, &device, user).await.ok();
        made.push(device);
    }
    (instance, made)
}

/// Nothing that runs, and no markup that we did not make.
#[track_caller]
fn is_harmless(page: &str, path: &str) {
    for bad in [
        "<script>",
        "<img",
        "<svg/",
        "alert('name')<",
        "<b>",
        " style=",
        " onerror=alert",
        "javascript:alert(1)\"",
    ] {
        // Between quotes of an attribute, or as text, everything is escaped; these would be neither.
        let found = page
            .find(bad)
            .filter(|at| !page[..*at].ends_with("&gt;") && !is_text(page, *at, bad));
        assert!(
            found.is_none(),
            "{path}: {bad} in {}",
            &page[found.unwrap().saturating_sub(60)..][..120]
        );
    }
    let scripts = page.matches("<script").count();
    assert_eq!(
        scripts,
        page.matches("<script src=\"/assets/").count(),
        "{path}"
    );
}

/// Whether what looks like an attribute stands inside an escaped text.
fn is_text(page: &str, at: usize, bad: &str) -> bool {
    if bad.starts_with('<') {
        return false;
    }
    let before = &page[..at];
    let (open, close) = (before.rfind('<'), before.rfind('>'));
    if close > open {
        return true;
    }
    // Inside a tag, then inside a quoted value, in which a quote would be `&quot;`.
    let tag = &before[open.unwrap_or(0)..];
    tag.matches('"').count() % 2 == 1
}

#[tokio::test]
async fn names_stay_text_on_every_page() {
    let server = Server::start().await;
    let (instance, made) = stage(&server).await;
    let browser = Browser::signed_in(&server).await;
    let base = format!("/i/{}", instance.id);
    let page = browser.get(&format!("{base}/compose")).await.ok();
    for user in USERS {
        let fields = [
            ("names", user),
            ("title", user),
            ("text", NAME),
            ("link", user),
            ("icon", NAME),
            ("platform", "fcm"),
        ];
        let checked = browser
            .submit(&page, &format!("{base}/compose"), &fields)
            .await
            .ok();
        is_harmless(&checked.body, "the dry run");
        let mut fields = fields.to_vec();
        fields.push(("step", "send"));
        let sent = browser
            .submit(&page, &format!("{base}/compose"), &fields)
            .await;
        assert_eq!(sent.status, 303, "{sent:?}");
        let report = sent.header("location").unwrap().to_owned();
        is_harmless(&browser.get(&report).await.ok().body, &report);
    }
    let query = |name: &str, value: &str| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair(name, value);
        query.finish()
    };
    let mut paths: Vec<String> = PAGES.map(|page| format!("{base}{page}")).to_vec();
    paths.extend(["/".to_owned(), format!("/try?instance={}", instance.id)]);
    for user in USERS {
        for (page, name) in [
            ("people", "user"),
            ("people", "search"),
            ("people", "interest"),
            ("console", "user"),
            ("console", "interest"),
            ("console", "device"),
            ("console", "publish"),
            ("publishes", "id"),
            ("publishes", "status"),
            ("compose", "user"),
            ("compose", "interest"),
            ("settings", "done"),
        ] {
            paths.push(format!("{base}/{page}?{}", query(name, user)));
        }
    }
    paths.extend(
        made.iter()
            .map(|device| format!("{base}/people?device={device}")),
    );
    for path in paths {
        let reply = browser.get(&path).await.ok();
        is_harmless(&reply.body, &path);
    }
}

#[tokio::test]
async fn refusals_do_not_echo_markup() {
    let server = Server::start().await;
    let browser = Browser::signed_in(&server).await;
    let page = browser.get("/").await.ok();
    let long = "<script>".repeat(50);
    let reply = browser
        .submit(&page, "/instances", &[("name", &long)])
        .await;
    assert_eq!(reply.status, 422);
    is_harmless(&reply.body, "a refused name");
    for path in [
        "/i/<script>alert(1)</script>",
        "/sign-in?next=%22%3E%3Cscript%3E",
        "/assets/x/<script>",
    ] {
        let reply = browser
            .request(Method::GET, path, &[JSON])
            .send()
            .await
            .unwrap();
        is_harmless(&reply.text().await.unwrap(), path);
    }
}
