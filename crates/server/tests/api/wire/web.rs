//! The web SDK 2.1.0, as a browser sends it from another origin. A real browser is driven elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::replay;
use crate::support::{Instance, RawReply, Server, beams_token, web_token};

struct Page {
    server: Server,
    instance: Instance,
}

impl Page {
    /// `line` has the method and what comes behind the instance.
    async fn fetch(&self, line: &str, more: &str, body: Option<&str>) -> RawReply {
        let (method, rest) = line.split_once(' ').unwrap();
        let content = match body {
            Some(_) => "\nContent-Type: application/json\nContent-Length: *",
            None if method == "GET" => "",
            None => "\nContent-Length: *",
        };
        let head = format!(
            "{method} /device_api/v1/instances/{}/{rest} HTTP/1.1
            Host: push.example.com
            User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0
            Accept: */*
            Origin: https://shop.example
            Sec-Fetch-Mode: cors
            Sec-Fetch-Site: cross-site{content}{more}",
            self.instance.id
        );
        let reply = replay(&self.server, &head, body.unwrap_or_default()).await;
        assert_eq!(
            reply.header("access-control-allow-origin"),
            Some("*"),
            "{reply:?}"
        );
        reply
    }

    async fn json(&self, line: &str, body: Option<&str>) -> Value {
        let reply = self.fetch(line, "", body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        serde_json::from_str(&reply.body).unwrap()
    }

    async fn status(&self, line: &str, more: &str) -> u16 {
        self.fetch(line, more, None).await.status
    }
}

#[tokio::test]
async fn a_pages_life() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let page = Page { server, instance };
    let key = page.json("GET web-vapid-public-key", None).await;
    let key = URL_SAFE_NO_PAD.decode(key["vapidPublicKey"].as_str().unwrap());
    assert_eq!(key.unwrap().len(), 65);

    let token = web_token("https://push.example.com/x");
    let body = json!({"token": token, "metadata": {"sdkVersion": "2.1.0"}}).to_string();
    let registered = page.json("POST devices/web", Some(&body)).await;
    let id = registered["id"].as_str().unwrap();
    assert!(id.starts_with("web-"));

    for interest in ["a%3Db%40c%2Cd%3Be", "hello"] {
        let line = format!("POST devices/web/{id}/interests/{interest}");
        assert_eq!(page.status(&line, "").await, 200);
    }
    let list = format!("GET devices/web/{id}/interests?limit=1");
    let first = page.json(&list, None).await;
    assert_eq!(first["interests"], json!(["a=b@c,d;e"]));
    let cursor = first["responseMetadata"]["nextCursor"].as_str().unwrap();
    let last = page.json(&format!("{list}&cursor={cursor}"), None).await;
    assert_eq!(
        last,
        json!({"interests": ["hello"], "responseMetadata": {}})
    );

    let bearer = format!(
        "\nAuthorization: Bearer {}",
        beams_token(&page.instance, "alice")
    );
    assert_eq!(
        page.status(&format!("PUT devices/web/{id}/user"), &bearer)
            .await,
        200
    );
    assert_eq!(
        page.status(&format!("DELETE devices/web/{id}"), "").await,
        200
    );
    assert_eq!(page.status(&format!("GET devices/web/{id}"), "").await, 404);
}
