//! The Android SDK 1.9.2: every request as Retrofit over OkHttp sends it, on one connection that is kept alive.

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::{Instance, RawReply, Server, beams_token, exchange_over};

struct Android {
    stream: TcpStream,
    base: String,
}

impl Android {
    async fn new(server: &Server, instance: &Instance) -> Self {
        let stream = TcpStream::connect(server.app.local_addr()).await.unwrap();
        Self {
            stream,
            base: format!("/device_api/v1/instances/{}/devices/fcm", instance.id),
        }
    }

    /// OkHttp sends the headers of the call, then its own.
    async fn send(&mut self, line: &str, more: &str, body: Option<&str>) -> RawReply {
        let (method, rest) = line.split_once(' ').unwrap();
        let (content_type, length) = match body {
            Some(body) => (
                "Content-Type: application/json; charset=UTF-8\r\n",
                body.len(),
            ),
            None => ("", 0),
        };
        let length = if method == "GET" || (method == "DELETE" && body.is_none()) {
            String::new()
        } else {
            format!("Content-Length: {length}\r\n")
        };
        let request = format!(
            "{method} {}{rest} HTTP/1.1\r\n{more}x-pusher-library: push-notifications-android 1.9.2\r\n{content_type}{length}\
             Host: 10.0.2.2:8080\r\nConnection: Keep-Alive\r\nAccept-Encoding: gzip\r\nUser-Agent: okhttp/3.12.0\r\n\r\n{}",
            self.base,
            body.unwrap_or_default(),
        );
        exchange_over(&mut self.stream, &request).await
    }

    async fn register(&mut self, token: &str) -> Value {
        let body = format!(
            r#"{{"token":"{token}","knownPreviousClientIds":["old-1"],"metadata":{{"sdkVersion":"1.9.2","androidVersion":"9"}}}}"#
        );
        let reply = self.send("POST ", "", Some(&body)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        serde_json::from_str(&reply.body).unwrap()
    }
}

#[track_caller]
fn done(reply: &RawReply) {
    assert_eq!((reply.status, reply.body.as_str()), (200, ""), "{reply:?}");
}

#[tokio::test]
async fn an_apps_life_on_one_connection() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let mut sdk = Android::new(&server, &instance).await;
    let first = sdk.register("dEf:APA91b-x_y").await;
    assert_eq!(
        first["initialInterestSet"],
        json!([]),
        "absent, the SDK would register for ever"
    );
    let id = first["id"].as_str().unwrap().to_owned();

    done(
        &sdk.send(&format!("POST /{id}/interests/hello=@,.;"), "", None)
            .await,
    );
    done(
        &sdk.send(
            &format!("PUT /{id}/interests"),
            "",
            Some(r#"{"interests":["hello","peter"]}"#),
        )
        .await,
    );
    done(
        &sdk.send(&format!("DELETE /{id}/interests/peter"), "", None)
            .await,
    );
    let bearer = format!(
        "Authorization: Bearer {}\r\n",
        beams_token(&instance, "alice")
    );
    done(&sdk.send(&format!("PUT /{id}/user"), &bearer, None).await);
    done(
        &sdk.send(
            &format!("PUT /{id}/token"),
            "",
            Some(r#"{"token":"dEf:APA91b-NEW"}"#),
        )
        .await,
    );
    let metadata = r#"{"sdkVersion":"1.9.2","androidVersion":"10"}"#;
    done(
        &sdk.send(&format!("PUT /{id}/metadata"), "", Some(metadata))
            .await,
    );

    let again = sdk.register("dEf:APA91b-NEW").await;
    assert_eq!(again, json!({"id": id, "initialInterestSet": ["hello"]}));
    let shown = sdk.send(&format!("GET /{id}"), "", None).await;
    let shown: Value = serde_json::from_str(&shown.body).unwrap();
    assert_eq!(shown["userId"], "alice");

    done(&sdk.send(&format!("DELETE /{id}"), "", None).await);
    done(&sdk.send(&format!("DELETE /{id}"), "", None).await);
    assert_ne!(sdk.register("dEf:APA91b-NEW").await["id"], json!(id));
}

#[tokio::test]
async fn a_device_that_the_server_lost_is_made_again() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let mut sdk = Android::new(&server, &instance).await;
    let lost = sdk.register("t").await["id"].as_str().unwrap().to_owned();
    server
        .app
        .store()
        .delete_device(instance.id, domain::device::DeviceId::parse(&lost).unwrap())
        .await
        .unwrap();
    let bearer = format!(
        "Authorization: Bearer {}\r\n",
        beams_token(&instance, "alice")
    );

    assert_eq!(
        sdk.send(&format!("PUT /{lost}/user"), &bearer, None)
            .await
            .status,
        404
    );
    let fresh = sdk.register("t").await["id"].as_str().unwrap().to_owned();
    // Straight after, without a catch around it: a refusal here would bring the app down.
    done(
        &sdk.send(
            &format!("PUT /{fresh}/interests"),
            "",
            Some(r#"{"interests":["hello"]}"#),
        )
        .await,
    );
    done(&sdk.send(&format!("PUT /{fresh}/user"), &bearer, None).await);
}
