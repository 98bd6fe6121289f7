//! Pages of any site may call what the web SDK calls, and nothing else.

use http::Method;

use crate::support::{JSON, Server, device_path, devices};

const ORIGIN: (&str, &str) = ("Origin", "https://shop.example");

#[tokio::test]
async fn the_server_sdks_apis_are_not_for_pages() {
    let server = Server::start().await;
    let instance = server.instance().await;
    for path in [
        format!("/publish_api/v1/instances/{}/publishes/users", instance.id),
        format!("/customer_api/v1/instances/{}/users/alice", instance.id),
    ] {
        let asks = [ORIGIN, ("Access-Control-Request-Method", "POST")];
        let reply = server.send(Method::OPTIONS, &path, &asks, "").await;
        reply.refused(405);
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn a_preflight_is_answered_for_every_method_and_header_of_the_web_sdk() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let unknown = "web-9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac";
    let device = device_path(&instance, unknown);
    for (method, path) in [
        ("POST", format!("{}/web", devices(&instance))),
        ("DELETE", device.clone()),
        ("PUT", format!("{device}/user")),
        ("GET", format!("{device}/interests")),
        ("POST", format!("{device}/interests/a%3Db")),
        (
            "POST",
            format!("/reporting_api/v2/instances/{}/events", instance.id),
        ),
    ] {
        let asks = [
            ORIGIN,
            ("Access-Control-Request-Method", method),
            (
                "Access-Control-Request-Headers",
                "authorization,content-type",
            ),
        ];
        let reply = server.send(Method::OPTIONS, &path, &asks, "").await;
        assert_eq!(reply.status, 204, "{reply:?}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert!(
            reply
                .header("access-control-allow-methods")
                .unwrap()
                .contains(method)
        );
        let headers = reply
            .header("access-control-allow-headers")
            .unwrap()
            .to_lowercase();
        assert!(headers.contains("authorization") && headers.contains("content-type"));
        assert_eq!(reply.header("access-control-max-age"), Some("86400"));
    }
}

#[tokio::test]
async fn answers_and_refusals_alike_can_be_read_by_a_page() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let path = format!("{}/web", devices(&instance));
    for (method, path, status) in [
        (
            Method::GET,
            format!(
                "/device_api/v1/instances/{}/web-vapid-public-key",
                instance.id
            ),
            200,
        ),
        (Method::POST, path, 400),
        (Method::GET, device_path(&instance, "web-x"), 404),
        (Method::GET, "/device_api/nothing".into(), 404),
        (Method::PATCH, device_path(&instance, "web-x"), 405),
        (
            Method::POST,
            format!("/reporting_api/v2/instances/{}/events", instance.id),
            400,
        ),
    ] {
        let reply = server.send(method, &path, &[ORIGIN, JSON], "").await;
        assert_eq!(reply.status, status, "{reply:?}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert_eq!(reply.header("access-control-allow-credentials"), None);
    }
}
