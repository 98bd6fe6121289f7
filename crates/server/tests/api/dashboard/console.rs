//! The debug console, live.

use http::Method;
use server::admin::actor::Actor;
use server::admin::tokens;
use store::administration::AdminTokenId;

use super::browser::Browser;
use crate::support::{Instance, Server, devices};

/// Reads a stream of events until one contains all of `wanted`; its id, and all that was read.
async fn read_until(
    browser: &Browser<'_>,
    path: &str,
    headers: &[(&str, &str)],
    wanted: &[&str],
) -> (String, String) {
    let request = browser.request(Method::GET, path, headers);
    let mut reply = request.send().await.unwrap();
    assert_eq!(reply.headers()["content-type"], "text/event-stream");
    let mut read = String::new();
    let reading = async {
        loop {
            let piece = reply.chunk().await.unwrap().expect("the stream to go on");
            read.push_str(std::str::from_utf8(&piece).unwrap());
            let found = read
                .split("\n\n")
                .find(|event| wanted.iter().all(|text| event.contains(text)));
            if let Some(event) = found {
                let id = event.lines().find_map(|line| line.strip_prefix("id: "));
                return id.unwrap_or_default().to_owned();
            }
        }
    };
    let id = tokio::time::timeout(std::time::Duration::from_secs(30), reading).await;
    (
        id.unwrap_or_else(|_| panic!("no event with {wanted:?}")),
        read,
    )
}

/// Waits until this node writes the trail of an instance: it then tells of a registration.
async fn watched(server: &Server, browser: &Browser<'_>, instance: &Instance) {
    let events = format!("/i/{}/console/events", instance.id);
    browser
        .get(&format!("/i/{}/console", instance.id))
        .await
        .ok();
    let trail = server.app.store();
    for n in 0.. {
        server.fcm_device(instance, &format!("witness-{n}")).await;
        if !trail.trail(instance.id, None, 1).await.unwrap().is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
    read_until(browser, &events, &[], &["registered"]).await;
}

#[tokio::test]
async fn what_happens_is_seen_and_goes_on_where_it_was_left() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let browser = Browser::signed_in(&server).await;
    watched(&server, &browser, &instance).await;
    let events = format!("/i/{}/console/events", instance.id);

    let device = server
        .fcm_device(&instance, "the-secret-gateway-token")
        .await;
    server.bind(&instance, &device, "alice").await.ok();
    let (bound, first) = read_until(
        &browser,
        &events,
        &[],
        &["\"kind\":\"bound\"", &device, "alice"],
    )
    .await;
    assert!(!first.contains("the-secret-gateway-token"));

    let interest = format!("{}/fcm/{device}/interests/kitchen", devices(&instance));
    server.post(&interest, "").await.ok();
    let publish = format!("/publish_api/v1/instances/{}/publishes/users", instance.id);
    let body = r#"{"users":["alice"],"fcm":{"notification":{"title":"the secret payload"}}}"#;
    let authorization = instance.authorization();
    let headers = [
        ("Authorization", authorization.as_str()),
        crate::support::JSON,
    ];
    server
        .send(Method::POST, &publish, &headers, body)
        .await
        .ok();
    // There is no credential, so the delivery fails, and that is seen too.
    let wanted = ["\"kind\":\"failed\"", "no_credential", &device, "alice"];
    let (_, rest) = read_until(&browser, &events, &[("Last-Event-ID", &bound)], &wanted).await;
    assert!(
        !rest.contains("\"kind\":\"bound\""),
        "it goes on behind what was seen: {rest}"
    );
    assert!(
        rest.contains("\"kind\":\"subscribed\"") && rest.contains("kitchen"),
        "{rest}"
    );
    let (at, of) = (
        rest.find("\"kind\":\"published\""),
        rest.find("\"kind\":\"failed\""),
    );
    assert!(at.is_some() && at < of, "in order: {rest}");
    assert!(!rest.contains("the secret payload"));

    let page = browser
        .get(&format!("/i/{}/console?user=alice", instance.id))
        .await
        .ok();
    assert!(page.body.contains("alice") && !page.body.contains("witness"));
    let other = browser
        .get(&format!("/i/{}/console?user=bob", instance.id))
        .await
        .ok();
    assert!(!other.body.contains(&device));
}

#[tokio::test]
async fn payloads_are_shown_only_where_that_is_switched_on() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let browser = Browser::signed_in(&server).await;
    let console = format!("/i/{}/console", instance.id);
    let page = browser.get(&console).await.ok();
    browser
        .submit(&page, &format!("{console}/payloads"), &[("show", "yes")])
        .await;
    watched(&server, &browser, &instance).await;
    let publish = format!("/publish_api/v1/instances/{}/publishes/users", instance.id);
    let body = r#"{"users":["alice"],"fcm":{"notification":{"title":"seen now"}}}"#;
    let authorization = instance.authorization();
    let headers = [
        ("Authorization", authorization.as_str()),
        crate::support::JSON,
    ];
    server
        .send(Method::POST, &publish, &headers, body)
        .await
        .ok();
    read_until(
        &browser,
        &format!("{console}/events"),
        &[],
        &["published", "seen now"],
    )
    .await;
}

#[tokio::test]
async fn nothing_is_written_while_nobody_watches() {
    let server = Server::start().await;
    let (instance, other) = (server.instance().await, server.instance().await);
    let browser = Browser::signed_in(&server).await;
    watched(&server, &browser, &instance).await;
    server.fcm_device(&other, "t").await;
    server.fcm_device(&instance, "after-the-other").await;
    let events = format!("/i/{}/console/events?after=0", instance.id);
    read_until(&browser, &events, &[], &["registered"]).await;
    assert!(
        server
            .app
            .store()
            .trail(other.id, None, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_revoked_token_ends_an_open_console() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let browser = Browser::signed_in(&server).await;
    let events = format!("/i/{}/console/events", instance.id);
    let mut reply = browser
        .request(Method::GET, &events, &[])
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), 200);
    let admin = server.app.admin();
    let number = tokens::list(admin).await.unwrap()[0].number;
    tokens::revoke(admin, &Actor::CommandLine, AdminTokenId(number))
        .await
        .unwrap();
    let end = async { while reply.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), end)
        .await
        .expect("the end");
}
