//! Where a request comes from, with proxies and with liars.

use http::Method;

use crate::logs::Listening;
use crate::support::{Server, devices};

/// Loopback is where the tests are: with it trusted the test is the proxy, without it a stranger.
const TRUSTED: &[(&str, &str)] = &[
    ("log.client_addresses", "true"),
    ("proxies.trusted", "127.0.0.0/8,10.0.0.0/8"),
];

/// Which address the log has for a request with these headers, and what the server thinks it is called.
async fn seen(settings: &[(&str, &str)], headers: &[(&str, &str)]) -> (String, String) {
    let log = Listening::begin();
    let server = Server::start_with(settings).await;
    let instance = server.instance().await;
    let path = format!("{}/fcm", devices(&instance));
    server
        .send(Method::POST, &path, headers, "{}")
        .await
        .refused(400);
    let description = server.send(Method::GET, "/openapi.json", headers, "").await;
    let url = description.ok().json()["servers"][0]["url"].clone();
    let url = url
        .as_str()
        .unwrap()
        .replace(&server.app.local_addr().to_string(), "SELF");
    let requests = log.requests("/devices/{platform}");
    let address = requests.last().unwrap()["client"].as_str().unwrap();
    (address.to_owned(), url)
}

#[tokio::test(flavor = "current_thread")]
async fn a_stranger_can_claim_nothing() {
    let lies = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "for=192.0.2.1;proto=https;host=evil.example"),
    ];
    for header in ["x-forwarded", "forwarded"] {
        let settings = [
            ("log.client_addresses", "true"),
            ("proxies.header", header),
            ("proxies.trusted", "10.0.0.0/8"),
        ];
        let seen = seen(&settings, &lies).await;
        assert_eq!(seen, ("127.0.0.1".into(), "http://SELF".into()));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_trusted_proxy_tells_whom_it_met() {
    let headers = [
        // The client wrote the first, its own invention; the proxies added the rest.
        ("X-Forwarded-For", "6.6.6.6, 192.0.2.1, 10.1.2.3"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "push.example.com"),
        ("Forwarded", "for=6.6.6.6;proto=http;host=evil.example"),
    ];
    let seen = seen(TRUSTED, &headers).await;
    assert_eq!(
        seen,
        ("192.0.2.1".into(), "https://push.example.com".into())
    );
}

#[tokio::test(flavor = "current_thread")]
async fn the_standard_header_if_that_is_the_one() {
    let mut settings = TRUSTED.to_vec();
    settings.push(("proxies.header", "forwarded"));
    let headers = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Host", "evil.example"),
        (
            "Forwarded",
            "for=\"[2001:db8::1]:99\";proto=https;host=push.example.com, for=10.0.0.9",
        ),
    ];
    let seen = seen(&settings, &headers).await;
    assert_eq!(
        seen,
        ("2001:db8::1".into(), "https://push.example.com".into())
    );
}

#[tokio::test(flavor = "current_thread")]
async fn what_the_operator_calls_the_server_goes_before_all() {
    let mut settings = TRUSTED.to_vec();
    settings.push(("public_url", "https://push.example.com"));
    let (_, url) = seen(&settings, &[("X-Forwarded-Host", "other.example")]).await;
    assert_eq!(url, "https://push.example.com");
}
