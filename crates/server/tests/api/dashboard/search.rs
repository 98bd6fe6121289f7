//! Searching through publishes, on the page and in the APIs.

use std::time::Duration;

use domain::admin_token::Right;
use http::Method;
use serde_json::{Value, json};

use super::browser::{Browser, admin_token};
use crate::support::{Instance, JSON, Server};

/// Publishes by the publish API. The id.
async fn publish(server: &Server, instance: &Instance, to: &Value, title: &str) -> String {
    let (kind, names) = to.as_object().unwrap().iter().next().unwrap();
    let body =
        json!({kind: names, "web": {"notification": {"title": title, "body": "secret text"}}});
    let path = format!("/publish_api/v1/instances/{}/publishes/{kind}", instance.id);
    let bearer = instance.authorization();
    let headers = [JSON, ("Authorization", bearer.as_str())];
    let reply = server
        .send(Method::POST, &path, &headers, body.to_string())
        .await;
    reply.ok().json()["publishId"].as_str().unwrap().to_owned()
}

/// Four publishes, a day between each.
async fn published(server: &Server, instance: &Instance) -> [String; 4] {
    let audiences = [
        (json!({"interests": ["news", "a", "b", "c"]}), "Wind"),
        (json!({"users": ["ann", "bob"]}), "Dinner <b>"),
        (json!({"interests": ["sports"]}), "Goal"),
        (json!({"users": ["ann"]}), "Rain & wind"),
    ];
    let mut ids = Vec::new();
    for (to, title) in audiences {
        ids.push(publish(server, instance, &to, title).await);
        server.clock.advance(Duration::from_secs(24 * 60 * 60));
    }
    ids.try_into().unwrap()
}

/// The ids on a page, in their order.
fn ids(body: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for piece in body.split("/publishes/pubid-").skip(1) {
        let id = format!("pubid-{}", &piece[..36]);
        if !found.contains(&id) {
            found.push(id);
        }
    }
    found
}

#[tokio::test]
async fn publishes_are_found_on_the_page() {
    let server = Server::start().await;
    let (instance, other) = (server.instance().await, server.instance().await);
    let [wind, dinner, goal, rain] = published(&server, &instance).await;
    let browser = Browser::signed_in(&server).await;
    let base = format!("/i/{}/publishes", instance.id);
    let day = |days: i32| {
        let at = crate::support::NOW.after(Duration::from_secs(days as u64 * 24 * 60 * 60));
        at.to_string()[..10].to_owned()
    };
    let cases = [
        (String::new(), vec![&rain, &goal, &dinner, &wind]),
        ("?interest=news".to_owned(), vec![&wind]),
        ("?interest=new".to_owned(), vec![]),
        ("?user=ann".to_owned(), vec![&rain, &dinner]),
        ("?user=ann&status=finished".to_owned(), vec![&rain, &dinner]),
        ("?user=ann&status=running".to_owned(), vec![]),
        (
            format!("?since={}&to={}", day(1), day(2)),
            vec![&goal, &dinner],
        ),
        (format!("?user=ann&since={}", day(2)), vec![&rain]),
    ];
    for (query, expected) in cases {
        let page = browser.get(&format!("{base}{query}")).await.ok();
        assert_eq!(
            ids(&page.body).iter().collect::<Vec<_>>(),
            expected,
            "{query}"
        );
        assert!(!page.body.contains("Rain"), "titles are payload: {query}");
    }
    let page = browser
        .get(&format!("/i/{}/publishes?user=ann", other.id))
        .await
        .ok();
    assert_eq!(ids(&page.body), [""; 0]);
    // Whom it is for is said by name, as far as there is room.
    let page = browser.get(&format!("{base}?interest=news")).await.ok();
    for said in ["people?interest=a\"", "people?interest=c\"", "and 1 more"] {
        assert!(page.body.contains(said), "{said}");
    }
    assert!(!page.body.contains("people?interest=news\""), "the fourth");
    let page = browser.get(&format!("{base}/{wind}")).await.ok();
    assert!(page.body.contains("people?interest=news\"") && !page.body.contains("Wind"));
    for wrong in ["interest=a%20b", "since=yesterday", "user=", "cursor=x"] {
        let page = browser.get(&format!("{base}?{wrong}")).await.ok();
        let is_refused = page.body.contains("role=\"alert\"");
        assert_eq!(
            is_refused,
            wrong.contains("a%20b") || wrong.contains("yesterday"),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn titles_are_for_where_payloads_may_be_shown() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let [wind, dinner, _, rain] = published(&server, &instance).await;
    let browser = Browser::signed_in(&server).await;
    let base = format!("/i/{}/publishes", instance.id);
    let page = browser.get(&format!("{base}?title=wind")).await.ok();
    assert_eq!(ids(&page.body).len(), 4, "it is not looked at");
    assert!(!page.body.contains("name=\"title\"") && page.body.contains("debug console"));
    let token = admin_token(&server, None, Right::Read).await;
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    let path = format!(
        "/admin_api/v1/instances/{}/publishes?title=wind",
        instance.id
    );
    let refused = server.send(Method::GET, &path, &headers, "").await;
    assert_eq!(refused.status, 409, "{refused:?}");

    server
        .app
        .store()
        .show_payloads(instance.id, true)
        .await
        .unwrap();
    let page = browser.get(&format!("{base}?title=WIND")).await.ok();
    assert_eq!(ids(&page.body), [rain.clone(), wind.clone()]);
    assert!(page.body.contains("Rain &amp; wind"));
    let page = browser.get(&format!("{base}/{rain}")).await.ok();
    assert!(page.body.contains("Rain &amp; wind"));
    let page = browser.get(&format!("{base}?user=bob")).await.ok();
    assert!(page.body.contains("Dinner &lt;b&gt;") && !page.body.contains("secret text"));
    assert_eq!(ids(&page.body), [dinner]);
    let found = server
        .send(Method::GET, &path, &headers, "")
        .await
        .ok()
        .json();
    let found: Vec<&str> = found["publishes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["publishId"].as_str().unwrap())
        .collect();
    assert_eq!(found, [rain, wind]);
}

#[tokio::test]
async fn the_publish_api_searches_for_who_has_the_secret_key() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let [wind, dinner, _, rain] = published(&server, &instance).await;
    let bearer = instance.authorization();
    let headers = [("Authorization", bearer.as_str())];
    let path = format!("/publish_api/v1/instances/{}/publishes", instance.id);
    let second = crate::support::NOW.after(Duration::from_secs(2 * 24 * 60 * 60));
    let cases = [
        ("user=ann".to_owned(), vec![&rain, &dinner]),
        ("title=wind".to_owned(), vec![&rain, &wind]),
        ("title=wind&interest=news".to_owned(), vec![&wind]),
        (format!("acceptedFrom={second}&user=ann"), vec![&rain]),
        (format!("acceptedUntil={second}&title=wind"), vec![&wind]),
    ];
    for (query, expected) in cases {
        let reply = server
            .send(Method::GET, &format!("{path}?{query}"), &headers, "")
            .await
            .ok();
        let reply = reply.json();
        let found: Vec<&str> = reply["publishes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["publishId"].as_str().unwrap())
            .collect();
        assert_eq!(found, expected, "{query}");
    }
    // Page by page it is the same.
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let query = format!("{path}?user=ann&limit=1{cursor}");
        let page = server
            .send(Method::GET, &query, &headers, "")
            .await
            .ok()
            .json();
        found.extend(
            page["publishes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["publishId"].as_str().unwrap().to_owned()),
        );
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, [rain, dinner]);
    let long = format!("title={}", "x".repeat(201));
    for wrong in [
        "interest=a%20b",
        "acceptedFrom=yesterday",
        "status=x",
        &long,
    ] {
        let reply = server
            .send(Method::GET, &format!("{path}?{wrong}"), &headers, "")
            .await;
        assert_eq!(reply.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn what_no_user_can_be_called_is_nobody() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let root = admin_token(&server, None, Right::Read).await;
    let bearer = format!("Bearer {root}");
    let headers = [("Authorization", bearer.as_str())];
    let browser = Browser::with_token(&server, &root).await;
    // PostgreSQL fails on the first two, if it is asked.
    for none in ["%00", "ann%00", &"a".repeat(165)] {
        let page = browser
            .get(&format!("/i/{}/people?search={none}", instance.id))
            .await
            .ok();
        assert!(page.body.contains("No user’s id begins with"), "{none}");
        let path = format!(
            "/admin_api/v1/instances/{}/users?prefix={none}",
            instance.id
        );
        let reply = server.send(Method::GET, &path, &headers, "").await;
        reply.refused(400);
    }
}
