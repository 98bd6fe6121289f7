//! `/docs`

use http::Method;
use serde_json::Value;

use crate::support::{Instance, JSON, Server};

/// The text of a page: what its markup encloses, unescaped.
fn unescaped(html: &str) -> String {
    html.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

/// What the page says of a call: its article.
fn article<'a>(page: &'a str, id: &str) -> &'a str {
    let start = page
        .find(&format!("aria-labelledby=\"{id}\""))
        .unwrap_or_else(|| panic!("{id} is not on the page"));
    let rest = &page[start..];
    &rest[..rest.find("</article>").unwrap()]
}

#[tokio::test]
async fn every_described_call_is_on_the_page_with_all_that_is_described() {
    let server = Server::start().await;
    let description = server.get("/openapi.json").await.ok().json();
    let reply = server.get("/docs").await.ok();
    let kind = reply.header("content-type").unwrap();
    assert!(kind.starts_with("text/html"), "{kind}");
    let mut calls = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, call) in item.as_object().unwrap() {
            let shown = unescaped(article(&reply.body, call["operationId"].as_str().unwrap()));
            for text in [path.as_str(), call["summary"].as_str().unwrap()] {
                assert!(shown.contains(text), "{text}: {shown}");
            }
            assert!(shown.contains(&method.to_uppercase()), "{method} {path}");
            let read = shown.replace("<code>", "").replace("</code>", "");
            for parameter in call["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                assert!(
                    shown.contains(&format!("<code>{name}</code>")),
                    "{path} {name}"
                );
            }
            for (status, answer) in call["responses"].as_object().unwrap() {
                assert!(read.contains(&answer["description"].as_str().unwrap().replace('`', "")));
                let status = status.replace("default", "any other");
                assert!(shown.contains(&format!("<dt>{status}</dt>")), "{path}");
            }
            assert!(shown.contains("curl -sS"), "{path}");
            assert!(shown.contains(server.app.url()), "{path}");
            calls += 1;
        }
    }
    assert!(calls > 65, "{calls}");
    assert_eq!(reply.body.matches("<article").count(), calls);
}

#[tokio::test]
async fn it_is_a_page_like_the_others() {
    let server = Server::start().await;
    let page = server.get("/docs").await.ok();
    let sign_in = server.get("/sign-in").await.ok();
    for header in [
        "content-security-policy",
        "x-frame-options",
        "x-content-type-options",
    ] {
        assert!(page.header(header).is_some(), "{header}");
        assert_eq!(page.header(header), sign_in.header(header));
    }
    for unwanted in ["<style", " style=", "onclick", "<script>"] {
        assert!(!page.body.contains(unwanted), "{unwanted}");
    }
    assert!(
        sign_in.body.contains("href=\"/docs\""),
        "nothing leads there"
    );
    server
        .send(Method::POST, "/docs", &[], "")
        .await
        .refused(405);
}

/// The body of the example of a call.
fn example(page: &str, id: &str) -> Value {
    let shown = unescaped(article(page, id));
    let (_, body) = shown.split_once("-d '").unwrap_or_else(|| panic!("{id}"));
    serde_json::from_str(&body[..body.find('\'').unwrap()]).unwrap()
}

async fn sent(server: &Server, instance: &Instance, path: &str, body: &Value) {
    let key = ("authorization", instance.authorization());
    let headers = [JSON, (key.0, key.1.as_str())];
    let path = path.replace("{instance}", &instance.id.to_string());
    let reply = server.send(Method::POST, &path, &headers, body.to_string());
    reply.await.ok();
}

#[tokio::test]
async fn examples_work_as_they_stand() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let page = server.get("/docs").await.ok().body;
    let publishes = "/publish_api/v1/instances/{instance}/publishes";
    let devices = "/device_api/v1/instances/{instance}/devices/apns";
    for (id, path) in [
        ("publish_to_interests", format!("{publishes}/interests")),
        ("publish_to_interests_v1", publishes.to_owned()),
        ("publish_to_users", format!("{publishes}/users")),
        ("register_device", devices.to_owned()),
        (
            "report",
            "/reporting_api/v2/instances/{instance}/events".to_owned(),
        ),
    ] {
        sent(&server, &instance, &path, &example(&page, id)).await;
    }
}
