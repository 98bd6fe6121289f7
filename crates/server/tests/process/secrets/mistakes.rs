//! Secrets in all the wrong places.

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::haystack::Where;
use super::run::{FCM_TOKEN, INSTANCE, Run, SECRET_KEY, WEBHOOK_SECRET};
use crate::program::heliostat;

impl Run<'_> {
    /// Secrets where they do not belong: in other headers, in paths, in queries, in bodies that make no sense, and in what is
    /// no HTTP at all.
    pub(crate) async fn mistakes(&mut self) {
        let secrets = [
            SECRET_KEY.to_owned(),
            self.beams_token.clone(),
            self.admin_token.clone(),
            FCM_TOKEN.to_owned(),
            WEBHOOK_SECRET.to_owned(),
        ];
        let publish = format!("/publish_api/v1/instances/{INSTANCE}/publishes/interests");
        let admin = format!("/admin_api/v1/instances/{INSTANCE}");
        let device = self.device.clone();
        for secret in &secrets {
            let wrong = [
                self.request(Method::POST, &publish)
                    .bearer_auth(format!("{secret}x"))
                    .json(&json!({})),
                self.request(Method::POST, &publish)
                    .header("X-Secret", secret)
                    .body(secret.clone()),
                self.request(Method::POST, &publish)
                    .bearer_auth(SECRET_KEY)
                    .json(&json!({secret: 1})),
                self.request(Method::POST, &publish)
                    .bearer_auth(SECRET_KEY)
                    .header("content-type", "application/json")
                    .body(format!("{{\"interests\": [\"{secret}")),
                self.request(Method::POST, &publish)
                    .bearer_auth(SECRET_KEY)
                    .json(&json!({"interests": [format!("{secret} ")], "fcm": {"data": secret}})),
                self.request(Method::GET, &format!("/{secret}?key={secret}")),
                self.request(Method::GET, &format!("{admin}/{secret}"))
                    .bearer_auth(&self.admin_token),
                self.request(Method::GET, &admin)
                    .bearer_auth(secret.trim_end_matches('w')),
                self.request(Method::PUT, &format!("{device}/user"))
                    .bearer_auth(format!("{secret}y")),
                self.request(Method::PUT, &format!("{device}/metadata"))
                    .body(secret.clone()),
                self.request(Method::GET, "/")
                    .header("cookie", format!("heliostat_session={secret}")),
                self.request(Method::POST, "/sign-in")
                    .body(format!("token={secret}")),
                self.request(
                    Method::POST,
                    &format!("/reporting_api/v2/instances/{INSTANCE}/events"),
                )
                .json(&json!({"event": secret, "publishId": secret, "deviceId": secret})),
                self.request(Method::PUT, &format!("{admin}/credentials/fcm"))
                    .bearer_auth(&self.admin_token)
                    .json(&json!({"serviceAccount": {"type": "service_account", "private_key": secret}})),
                self.request(Method::PUT, &format!("{admin}/credentials/fcm"))
                    .bearer_auth(&self.admin_token)
                    .json(&json!({"serviceAccount": format!("{{\"private_key\":\"{secret}\"}}")})),
                self.request(Method::PUT, &format!("{admin}/credentials/apns"))
                    .bearer_auth(&self.admin_token)
                    .json(&json!({"key": secret, "keyId": secret, "teamId": secret})),
            ];
            for request in wrong {
                self.send(Where::Written, request).await;
            }
            self.elsewhere(secret).await;
        }
    }

    /// On the command line, and where no HTTP is spoken.
    async fn elsewhere(&mut self, secret: &str) {
        for command in [
            vec!["instance", "show", secret],
            vec!["token", "--instance", secret, "x"],
            vec![
                "serve",
                "--set",
                "limits.connections_max=x",
                "--listen",
                "nowhere",
            ],
        ] {
            // What was typed may be repeated to who typed it: these must merely not come to anything.
            let done = heliostat(&self.env).args(command).output().unwrap();
            assert!(!done.status.success());
        }
        self.raw(&format!(
            "GET /{secret}\u{7f} HTTP/1.1\r\nHost: {secret} \r\nbroken {secret}\r\n\r\n"
        ))
        .await;
    }

    async fn raw(&mut self, text: &str) {
        let address = self.server.url.trim_start_matches("http://").to_owned();
        let mut wire = tokio::net::TcpStream::connect(address).await.unwrap();
        wire.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // It may be torn down in the middle.
        let _ = wire.read_to_end(&mut answer).await;
        self.heap.add(Where::Written, "an answer to noise", answer);
    }
}
