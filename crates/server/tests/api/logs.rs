//! What the log says of requests, and what it never says.

use std::io::Write;
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::Value;

use crate::support::{Instance, JSON, Server, beams_token, device_path};

/// What this thread logs, while it is held.
pub(crate) struct Listening {
    lines: Lines,
    _guard: tracing::subscriber::DefaultGuard,
    // With one subscriber alone, tracing asks the thread that comes to a line of code first whether it is of interest, and
    // that may be the thread of another test, which has none. With two it asks them all.
    _another: tracing::Dispatch,
}

impl Listening {
    pub(crate) fn begin() -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        Self {
            lines,
            _another: tracing::Dispatch::new(tracing_subscriber::registry()),
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines of requests to a route that ends so.
    pub(crate) fn requests(&self, route_end: &str) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines();
        let parsed = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let of_route = |line: &Value| {
            let route = line["route"].as_str();
            route.is_some_and(|route| route.ends_with(route_end))
        };
        parsed.filter(of_route).collect()
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Requests of all kinds, with something secret or personal in each. Gives the id of the device.
async fn live(server: &Server, instance: &Instance) -> String {
    let id = server.fcm_device(instance, "gateway-token-4711").await;
    let device = device_path(instance, &id);
    server.bind(instance, &id, "alice@example.com").await.ok();
    server
        .post(&format!("{device}/interests/secret-interest"), "")
        .await
        .ok();
    server
        .put(&format!("{device}/metadata"), r#"{"a":"secret-metadata"}"#)
        .await
        .ok();
    let authorization = instance.authorization();
    let headers = [JSON, ("Authorization", authorization.as_str())];
    let publish = format!("/publish_api/v1/instances/{}/publishes/users", instance.id);
    let body = r#"{"users":["bob@example.com"],"fcm":{"notification":{"title":"secret-title"}}}"#;
    server
        .send(Method::POST, &publish, &headers, body)
        .await
        .ok();
    server
        .send(
            Method::POST,
            &publish,
            &headers,
            r#"{"users":["bob@example.com"]}"#,
        )
        .await
        .refused(422);
    let user = format!(
        "/customer_api/v1/instances/{}/users/alice@example.com",
        instance.id
    );
    server.send(Method::DELETE, &user, &headers, "").await.ok();
    server
        .get("/nothing/secret-path?secret-query")
        .await
        .refused(404);
    server.get("/sign-in").await;
    server.post("/sign-in", "token=secret-token").await;
    id
}

// One thread, so that the log of this test is its own.
#[tokio::test(flavor = "current_thread")]
async fn requests_are_told_by_route_and_nothing_secret_or_personal_shows() {
    let log = Listening::begin();
    let server = Server::start().await;
    let instance = server.instance().await;
    let id = live(&server, &instance).await;
    let token = beams_token(&instance, "alice@example.com");
    server.app.stop().await;

    let text = log.text();
    for secret in [
        instance.key.reveal(),
        &token,
        token.rsplit('.').next().unwrap(),
        "gateway-token-4711",
        &id,
        "alice",
        "bob",
        "secret-",
    ] {
        let told = text.lines().find(|line| line.contains(secret));
        assert_eq!(told, None, "{secret:?} is in the log");
    }
    let requests = log.requests("/{device}/user");
    let bound = &requests[0];
    assert_eq!(bound["level"], "INFO");
    assert_eq!(
        (&bound["method"], &bound["status"]),
        (&Value::from("PUT"), &Value::from(200))
    );
    assert_eq!(bound["instance"], instance.id.to_string());
    assert!(bound["duration_ms"].as_f64().is_some());
    let pages = log.requests("/sign-in");
    let levels: Vec<_> = pages.iter().map(|line| &line["level"]).collect();
    assert_eq!(levels, ["DEBUG", "INFO"], "who tries to come in is told");
    // An address is personal; it is logged where the operator wants it.
    assert!(bound.get("client").is_none());
}
