//! The Swift SDK 4.0.0: every request as URLSession sends it, in the order of an app's life.

use serde_json::{Value, json};

use super::replay;
use crate::support::{Instance, RawReply, Server, beams_token};

const TOKEN: &str = "6e6f7461646576696365746f6b656e2d61706e732d53746f705465737473";

struct Swift {
    server: Server,
    instance: Instance,
}

impl Swift {
    async fn new() -> Self {
        let server = Server::start().await;
        let instance = server.instance().await;
        Self { server, instance }
    }

    /// `line` has the method and what comes behind `…/devices/apns`. The content type is there even without a body.
    async fn send(&self, line: &str, more: &str, body: &str) -> RawReply {
        let (method, rest) = line.split_once(' ').unwrap();
        let length = match method {
            "GET" => "",
            _ => "\nContent-Length: *",
        };
        let head = format!(
            "{method} /device_api/v1/instances/{id}/devices/apns{rest} HTTP/1.1
            Host: {id}.pushnotifications.pusher.com
            Content-Type: application/json
            X-Pusher-Library: push-notifications-swift 4.0.0
            Accept: */*
            Accept-Language: en-GB,en;q=0.9
            User-Agent: App/1 CFNetwork/1568.100.1 Darwin/24.0.0
            Connection: keep-alive{length}{more}",
            id = self.instance.id,
        );
        replay(&self.server, &head, body).await
    }

    /// A request whose answer must be 200 and empty.
    async fn done(&self, line: &str, body: &str) {
        let reply = self.send(line, "", body).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, ""), "{reply:?}");
    }

    /// `setUserId`, which sends the token alone.
    async fn set_user(&self, device: &str, user: &str) {
        let more = format!(
            "\nAuthorization: Bearer {}",
            beams_token(&self.instance, user)
        );
        let reply = self.send(&format!("PUT /{device}/user"), &more, "").await;
        assert_eq!((reply.status, reply.body.as_str()), (200, ""), "{reply:?}");
    }

    async fn get(&self, line: &str) -> Value {
        serde_json::from_str(&self.send(line, "", "").await.body).unwrap()
    }

    /// What every start of the app does.
    async fn register(&self) -> (String, Value) {
        let body = format!(
            r#"{{"token":"{TOKEN}","bundleIdentifier":"missing-bundle-id","metadata":{{"sdkVersion":"4.0.0","iosVersion":"17.4.1"}}}}"#
        );
        let reply = self.send("POST ", "", &body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let mut json: Value = serde_json::from_str(&reply.body).unwrap();
        let id = json["id"].as_str().unwrap().to_owned();
        (id, json["initialInterestSet"].take())
    }
}

#[tokio::test]
async fn an_apps_life() {
    let sdk = Swift::new().await;
    let (id, interests) = sdk.register().await;
    assert_eq!(interests, json!([]));
    sdk.done(&format!("POST /{id}/interests/panda"), "").await;
    sdk.done(&format!("POST /{id}/interests/a_b-c=d@e,f.g;h"), "")
        .await;
    sdk.done(&format!("DELETE /{id}/interests/panda"), "").await;
    let set = r#"{"interests":["zebra","cucas","potato"]}"#;
    sdk.done(&format!("PUT /{id}/interests"), set).await;
    let versions = r#"{"sdkVersion":"4.0.0","iosVersion":"17.5"}"#;
    sdk.done(&format!("PUT /{id}/metadata"), versions).await;

    // What comes back is what the SDK goes on with.
    let all = json!(["cucas", "potato", "zebra"]);
    assert_eq!(sdk.register().await, (id.clone(), all.clone()));
    assert_eq!(
        sdk.get(&format!("GET /{id}/interests")).await["interests"],
        all
    );

    // To set the same user again changes nothing.
    sdk.set_user(&id, "cucas").await;
    sdk.set_user(&id, "cucas").await;
    assert_eq!(sdk.get(&format!("GET /{id}")).await["userId"], "cucas");

    sdk.done(&format!("DELETE /{id}"), "").await;
    sdk.done(&format!("DELETE /{id}"), "").await;
    assert_eq!(sdk.send(&format!("GET /{id}"), "", "").await.status, 404);
    assert_ne!(sdk.register().await.0, id);
}

#[tokio::test]
async fn a_report() {
    let sdk = Swift::new().await;
    let instance = sdk.instance.id;
    let (device, _) = sdk.register().await;
    let publish = "pubid-9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac";
    for kind in ["Delivery", "Open"] {
        let body = format!(
            r#"{{"event":"{kind}","instanceId":"{instance}","deviceId":"{device}","userId":"cucas","publishId":"{publish}","timestampSecs":1767225600,"appInBackground":false,"hasDisplayableContent":true,"hasData":false}}"#
        );
        let head = format!(
            "POST /reporting_api/v2/instances/{instance}/events HTTP/1.1
            Host: {instance}.pushnotifications.pusher.com
            Content-Type: application/json
            X-Pusher-Library: push-notifications-swift 4.0.0
            Content-Length: *"
        );
        let reply = replay(&sdk.server, &head, &body).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, ""), "{reply:?}");
    }
}

#[tokio::test]
async fn a_device_that_the_server_lost_is_made_again() {
    let sdk = Swift::new().await;
    let (lost, _) = sdk.register().await;
    sdk.set_user(&lost, "cucas").await;
    let path = format!("/customer_api/v1/instances/{}/users/cucas", sdk.instance.id);
    let key = sdk.instance.authorization();
    let headers = [("Authorization", key.as_str())];
    let deleted = sdk.server.send(http::Method::DELETE, &path, &headers, "");
    deleted.await.ok_and_empty();

    // A 404 on an interest is what makes the SDK start over: register, interests, user, and then the job itself.
    let reply = sdk
        .send(&format!("POST /{lost}/interests/panda"), "", "")
        .await;
    assert_eq!(reply.status, 404);
    let (fresh, _) = sdk.register().await;
    assert_ne!(fresh, lost);
    sdk.done(
        &format!("PUT /{fresh}/interests"),
        r#"{"interests":["zebra"]}"#,
    )
    .await;
    sdk.set_user(&fresh, "cucas").await;
    sdk.done(&format!("POST /{fresh}/interests/panda"), "")
        .await;
}
