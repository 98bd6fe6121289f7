//! `heliostat publish`, with a server and without; and the long way from there to a gateway.

use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::program::{Place, Running};

const PAYLOAD: &str = r#"{"fcm":{"notification":{"title":"Hi","body":"there"}}}"#;

/// `heliostat publish` of a file to one user of an instance.
fn to_a_user<'a>(instance: &'a str, payload: &'a str) -> [&'a str; 7] {
    [
        "publish",
        "--instance",
        instance,
        "--user",
        "u",
        "--payload",
        payload,
    ]
}

#[test]
fn it_goes_where_the_other_commands_go() {
    let mut place = Place::new();
    let (id, key) = place.instance();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let [afar, own] = [free, TcpListener::bind("127.0.0.1:0").unwrap()]
        .map(|listener| format!("http://{}", listener.local_addr().unwrap()));
    place.set("HELIOSTAT_SERVER", &afar);
    place.set("HELIOSTAT_PUBLIC_URL", &own);
    place.set("HELIOSTAT_SECRET_KEY", &key);
    let payload = place.file("payload.json", PAYLOAD);
    let publish = |more: &[&str]| {
        let words = to_a_user(&id, &payload);
        place.fails(1, &with(&words, more))
    };
    assert!(publish(&[]).contains(&format!("through {afar}:")));
    let flagged = publish(&["--server", &own]);
    assert!(flagged.contains(&format!("through {own}:")), "{flagged}");
    let database = publish(&["--database", "sqlite:heliostat.db"]);
    assert!(database.contains(&format!("through {own}:")), "{database}");
}

#[test]
fn what_cannot_be_published_is_told() {
    let place = Place::new();
    let (id, _) = place.instance();
    let payload = place.file("payload.json", PAYLOAD);
    let publish = |code, more: &[&str], input: &str| {
        place.fails_with(code, &with(&["publish", "--instance", &id], more), input)
    };
    publish(2, &["--payload", &payload], "");
    publish(2, &["--user", "u"], "");
    let line = publish(
        2,
        &[
            "--user",
            "u",
            "--secret-key",
            "se cret",
            "--payload",
            &payload,
        ],
        "",
    );
    assert!(!line.contains("se cret"), "{line}");
    let line = publish(
        2,
        &["--user", "u", "--interest", "i", "--payload", &payload],
        "",
    );
    assert!(
        line.contains("--user") && line.contains("--interest"),
        "{line}"
    );
    let line = publish(1, &["--user", "u", "--payload", "missing.json"], "");
    assert!(line.contains("missing.json"), "{line}");
    let line = publish(1, &["--user", "u", "--payload", "-"], "no json");
    assert!(
        line.contains("standard input") && line.contains("no JSON"),
        "{line}"
    );
    let line = publish(1, &["--user", "u", "--payload", "-"], "[]");
    assert!(line.contains("object"), "{line}");
    let line = publish(1, &["--user", "u", "--payload", "-"], "{}");
    assert!(line.contains("apns, fcm, web"), "{line}");
    let line = publish(1, &["--interest", "a b", "--payload", &payload], "");
    assert!(line.contains("interests"), "{line}");
    let line = publish(1, &["--user", "u", "--payload", "-"], &" ".repeat(2 << 20));
    assert!(line.contains("too large"), "{line}");
    let line = publish(
        1,
        &[
            "--user",
            "u",
            "--payload",
            &payload,
            "--server",
            "push.example.com",
        ],
        "",
    );
    assert!(line.contains("base URL"), "{line}");
}

#[test]
fn nobody_or_a_stranger_at_the_address_is_told() {
    let mut place = Place::new();
    let (id, _) = place.instance();
    let payload = place.file("payload.json", PAYLOAD);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}");
    let words = to_a_user(&id, &payload);
    let line = place.fails(1, &with(&words, &["--server", &url]));
    assert!(
        line.contains(&url) && line.contains("heliostat serve"),
        "{line}"
    );
    // Where the server is, the configuration says too.
    place.set("HELIOSTAT_LISTEN", &format!("0.0.0.0:{}", address.port()));
    assert!(place.fails(1, &words).contains(&url));
    place.set("HELIOSTAT_PUBLIC_URL", "http://localhost:1");
    assert!(place.fails(1, &words).contains("http://localhost:1"));
}

#[test]
fn a_running_server_takes_it() {
    let place = Place::new();
    let (id, key) = place.instance();
    let (mut server, url) = place.serve();
    let publish = ["publish", "--instance", &id, "--server", &url];
    let published = place.ok_with(
        &with(&publish, &["--user", "a", "--user", "b", "--payload", "-"]),
        PAYLOAD,
    );
    assert!(
        published.starts_with("pubid-") && published.lines().count() == 1,
        "{published}"
    );
    let payload = place.file("payload.json", PAYLOAD);
    let published = place.json(&with(&publish, &["--interest", "i", "--payload", &payload]));
    assert!(
        published["publishId"]
            .as_str()
            .unwrap()
            .starts_with("pubid-")
    );

    // From elsewhere, without the database.
    let mut elsewhere = Place::new();
    // Nor does a proxy, which could not reach this machine's loopback, come between.
    elsewhere.set("HTTP_PROXY", "http://127.0.0.1:9");
    let publish = with(
        &publish,
        &["--user", "a", "--payload", &payload, "--secret-key"],
    );
    elsewhere.ok(&with(&publish, &[&key]));
    let line = elsewhere.fails(1, &with(&publish, &["wrong"]));
    assert!(
        line.contains("secret key")
            && line.contains("HELIOSTAT_SECRET_KEY")
            && !line.contains("wrong"),
        "{line}"
    );
    let other = "00000000-0000-4000-8000-000000000000";
    let line = elsewhere.fails(
        1,
        &[
            "publish",
            "--instance",
            other,
            "--server",
            &url,
            "--user",
            "a",
            "--payload",
            &payload,
            "--secret-key",
            "k",
        ],
    );
    assert!(line.contains("no such instance"), "{line}");

    // What is changed beside the running server counts within a moment.
    let added = place.json(&["instance", "key", "add", "--instance", &id]);
    let added = with(&publish, &[added["secretKey"].as_str().unwrap()]);
    elsewhere.until("the new key counts", |place| {
        place.run_with(&added, "").status.success()
    });
    place.ok(&["instance", "delete", &id, "--yes"]);
    elsewhere.until("the instance is gone", |place| {
        !place.run_with(&added, "").status.success()
    });
    server.signal("TERM");
    assert!(server.wait().success());
}

#[test]
fn over_https_it_trusts_the_authority_it_is_given() {
    let mut place = Place::new();
    let certificate = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let pem = place.file("server.pem", &certificate.cert.pem());
    let key = place.file("server.key", &certificate.signing_key.serialize_pem());
    place.set("HELIOSTAT_TLS_CERTIFICATE_FILE", &pem);
    place.set("HELIOSTAT_TLS_KEY_FILE", &key);
    let (id, _) = place.instance();
    let (_server, url) = place.serve();
    assert!(url.starts_with("https://"), "{url}");
    let words = [
        "publish",
        "--instance",
        &id,
        "--server",
        &url,
        "--user",
        "u",
        "--payload",
        "-",
    ];
    let line = place.fails_with(1, &words, PAYLOAD);
    assert!(line.contains("certificate"), "{line}");
    place.ok_with(&with(&words, &["--ca-file", &pem]), PAYLOAD);
    let line = place.fails_with(1, &with(&words, &["--ca-file", &key]), PAYLOAD);
    assert!(line.contains("root certificate"), "{line}");
    let line = place.fails_with(1, &with(&words, &["--ca-file", "missing.pem"]), PAYLOAD);
    assert!(line.contains("missing.pem"), "{line}");
}

#[test]
fn it_goes_the_long_way_to_the_gateways() {
    let mut place = Place::new();
    let (mut emulators, env) = emulate(&place);
    for (name, value) in &env {
        place.set(name, value);
    }
    let value = |name: &str| {
        env.iter()
            .find(|(known, _)| known == name)
            .unwrap()
            .1
            .as_str()
    };
    let (id, key) = place.instance();
    let account = value("EMULATOR_SERVICE_ACCOUNT_FILE");
    place.ok(&[
        "credential",
        "set",
        "fcm",
        "--instance",
        &id,
        "--service-account",
        account,
    ]);
    let (mut server, url) = place.serve();

    let token = place.ok(&["token", "--instance", &id, "alice"]);
    let api = format!("{url}/device_api/v1/instances/{id}/devices");
    register_and_bind(&api, "fcm", &json!({"token": "an-android-phone"}), &token);
    let subscriptions = format!("{}/subscriptions", value("EMULATOR_CONTROL_URL"));
    let subscription = post(&subscriptions, &json!({}));
    let subscription = json!({"token": STANDARD.encode(subscription.to_string())});
    register_and_bind(&api, "web", &subscription, &token);

    let payload =
        r#"{"fcm":{"notification":{"title":"Hi"}},"web":{"notification":{"title":"Hi"}}}"#;
    let words = [
        "publish",
        "--instance",
        &id,
        "--server",
        &url,
        "--secret-key",
        &key,
        "--user",
        "alice",
    ];
    place.ok_with(&with(&words, &["--payload", "-"]), payload);
    let mut gateways: Vec<String> = (0..2)
        .map(|_| {
            let line: Value = serde_json::from_str(&emulators.stdout_line(|_| true)).unwrap();
            assert_eq!(line["verdict"], "accepted", "{line}");
            assert_eq!(line["payload"]["notification"]["title"], "Hi", "{line}");
            line["gateway"].as_str().unwrap().to_owned()
        })
        .collect();
    gateways.sort();
    assert_eq!(gateways, ["fcm", "web-push"]);
    server.signal("TERM");
    assert!(server.wait().success());
    emulators.signal("TERM");
    assert!(emulators.wait().success());
}

fn with<'a>(words: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [words, more].concat()
}

/// Starts the emulators. Returns them with the variables of their `env.sh`, as a shell reads it.
fn emulate(place: &Place) -> (Running, Vec<(String, String)>) {
    let mut emulators = place.start(&["emulate", "--out", "a directory"]);
    emulators.stderr_line(|line| line.contains("Ctrl-C stops"));
    let source = format!(". '{}' && env", place.path("a directory/env.sh").display());
    let output = std::process::Command::new("sh")
        .args(["-c", &source])
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let env = String::from_utf8(output.stdout).unwrap();
    let pairs = env.lines().filter_map(|line| line.split_once('='));
    let ours = pairs.filter(|(name, _)| !matches!(*name, "PWD" | "SHLVL" | "_"));
    (
        emulators,
        ours.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    )
}

fn http() -> reqwest::Client {
    // Some TLS must be named, though none is used.
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .build()
        .unwrap()
}

fn post(url: &str, body: &Value) -> Value {
    block_on(async {
        let answer = http().post(url).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{url}: {}", answer.status());
        answer.json().await.unwrap()
    })
}

fn register_and_bind(api: &str, platform: &str, registration: &Value, token: &str) {
    let device = post(&format!("{api}/{platform}"), registration);
    let device = device["id"].as_str().unwrap();
    put_user(&format!("{api}/{platform}/{device}/user"), token.trim());
}

fn put_user(url: &str, token: &str) {
    block_on(async {
        let answer = http().put(url).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{url}");
    });
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}
