//! Whatever anybody sends: no 5xx, every refusal readable, and the server lives on.

use std::sync::OnceLock;

use http::Method;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::support::{Instance, Reply, Server};

/// One server for all the cases, and the runtime it lives on.
fn world() -> &'static (Runtime, Server, Instance, String) {
    static WORLD: OnceLock<(Runtime, Server, Instance, String)> = OnceLock::new();
    WORLD.get_or_init(|| {
        let runtime = Runtime::new().unwrap();
        let (server, instance, device) = runtime.block_on(async {
            let server = Server::start().await;
            let instance = server.instance().await;
            let device = server.fcm_device(&instance, "token").await;
            (server, instance, device)
        });
        (runtime, server, instance, device)
    })
}

fn path() -> impl Strategy<Value = String> {
    let (_, _, instance, device) = world();
    let id = instance.id;
    let root = prop_oneof![
        Just(format!(
            "/device_api/v1/instances/{id}/devices/fcm/{device}"
        )),
        Just(format!("/device_api/v1/instances/{id}/devices")),
        Just(format!("/device_api/v1/instances/{id}")),
        Just("/device_api/v1/instances".to_owned()),
        Just(format!("/publish_api/v1/instances/{id}/publishes")),
        Just(format!("/customer_api/v1/instances/{id}/users")),
        Just(format!("/user_api/v1/instances/{id}/users")),
        Just(format!("/reporting_api/v2/instances/{id}/events")),
        Just(String::new()),
    ];
    let segment = prop_oneof![
        Just("interests".to_owned()),
        Just("users".to_owned()),
        Just("user".to_owned()),
        Just("token".to_owned()),
        Just("metadata".to_owned()),
        Just("fcm".to_owned()),
        Just("web".to_owned()),
        Just("apns".to_owned()),
        Just(device.clone()),
        Just("fcm-9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac".to_owned()),
        "[a-zA-Z0-9_=@,.;:!*'()+ -]{0,40}",
        "(%[0-9A-Fa-f]{2}){1,8}",
        "[^/?#\\PC]{0,12}",
    ];
    let query = prop_oneof![
        Just(String::new()),
        "\\?(limit|cursor|x)=[a-zA-Z0-9%&=_-]{0,20}"
    ];
    (root, prop::collection::vec(segment, 0..4), query).prop_map(|(root, segments, query)| {
        let mut path = root;
        for segment in segments {
            path.push('/');
            path.push_str(&segment);
        }
        if path.is_empty() {
            path.push('/');
        }
        path + &query
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..64),
        Just(br#"{"interests":["a"],"fcm":{"notification":{}}}"#.to_vec()),
        Just(br#"{"users":["a"],"apns":{"aps":{"alert":7}}}"#.to_vec()),
        Just(br#"{"token":"abcd","bundleIdentifier":"x","metadata":{"a":{"b":[]}}}"#.to_vec()),
        Just(br#"{"event":"open","publishId":"x","deviceId":"y","timestampSecs":1}"#.to_vec()),
        Just("[".repeat(5000).into_bytes()),
        Just(r#"{"a":"#.repeat(3000).into_bytes()),
        "\\{\"(interests|users|token|web|apns|fcm|event)\":[\\[\\]{}\"a,:0-9.e+-]{0,30}\\}"
            .prop_map(String::into_bytes),
    ]
}

fn header() -> impl Strategy<Value = (String, String)> {
    let (_, _, instance, _) = world();
    prop_oneof![
        Just(("Authorization".to_owned(), instance.authorization())),
        "[ -~]{0,30}".prop_map(|value| ("Authorization".to_owned(), value)),
        Just(("Content-Type".to_owned(), "application/json".to_owned())),
        "[ -~]{0,30}".prop_map(|value| ("Content-Type".to_owned(), value)),
        "[ -~]{0,30}".prop_map(|value| ("X-Pusher-Library".to_owned(), value)),
        Just((
            "X-Pusher-Library".to_owned(),
            "push-notifications-swift 4.0.0".to_owned()
        )),
        Just(("Access-Control-Request-Method".to_owned(), "PUT".to_owned())),
        ("x-[a-z]{1,10}", "[ -~]{0,30}"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_request_is_answered_well(
        method in "GET|POST|PUT|DELETE|PATCH|HEAD|OPTIONS|TRACE|BREW",
        path in path(),
        headers in prop::collection::vec(header(), 0..4),
        body in body(),
    ) {
        let (runtime, server, _, _) = world();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let reply = runtime.block_on(server.send(method.clone(), &path, &headers, body));
        prop_assert!(reply.status.as_u16() < 500, "{method} {path}: {reply:?}");
        check(&method, &reply)?;
    }

    #[test]
    fn any_bytes_leave_the_server_alive(bytes in prop::collection::vec(any::<u8>(), 0..600), half_a_request: bool) {
        let (runtime, server, _, _) = world();
        runtime.block_on(async {
            let mut stream = TcpStream::connect(server.app.local_addr()).await.unwrap();
            if half_a_request {
                stream.write_all(b"POST /device_api/v1/instances/ HTTP/1.1\r\nContent-Length: 10\r\n").await.unwrap();
            }
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
        });
        runtime.block_on(server.get("/healthz")).ok();
    }
}

fn check(method: &Method, reply: &Reply) -> Result<(), TestCaseError> {
    if reply.status.is_success() || method == Method::HEAD {
        return Ok(());
    }
    let json: serde_json::Value = serde_json::from_str(&reply.body)
        .map_err(|_| TestCaseError::fail(format!("{reply:?} is no JSON")))?;
    for key in ["error", "description"] {
        let text = json[key].as_str().unwrap_or_default();
        prop_assert!(!text.is_empty(), "{reply:?} has no {key}");
    }
    Ok(())
}
