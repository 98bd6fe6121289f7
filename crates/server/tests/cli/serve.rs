//! `heliostat serve`: how it starts, fails to, and stops.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::program::Place;

#[test]
fn starts_and_stops_gracefully() {
    let place = Place::new();
    for signal in ["TERM", "INT"] {
        let (mut server, url) = place.serve();
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
    }
    assert!(place.path("heliostat.db").exists() && place.path("heliostat.db.key").exists());
}

/// What is behind `/sign-in?link=` in a text.
fn code(text: &str) -> &str {
    let (_, rest) = text.split_once("/sign-in?link=").unwrap();
    rest.split([' ', '\n', '"']).next().unwrap()
}

#[test]
fn whoever_starts_it_first_is_given_a_link_to_sign_in() {
    let mut place = Place::new();
    let (mut server, url) = place.serve();
    let line = server.stdout_line(|line| line.contains("/sign-in?link="));
    assert!(
        line.trim().starts_with(&format!("{url}/sign-in?link=hsl_")),
        "{line}"
    );
    let listed = place.json(&["admin-token", "list"]);
    assert_eq!(
        (&listed[0]["name"], listed.as_array().unwrap().len()),
        (&"first sign-in".into(), 1)
    );
    assert!(!listed.to_string().contains(code(&line)));

    let made = place.json(&["admin-token", "create", "--name", "laptop"]);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    // Once somebody can sign in, links are made on demand alone, beside the database or from elsewhere.
    let (mut server, url) = place.serve();
    let here = place.ok(&["admin-token", "link", "--name", "phone"]);
    assert!(
        here.starts_with("http://127.0.0.1:8080/sign-in?link=hsl_"),
        "{here}"
    );
    place.set("NO_PROXY", "*");
    place.set("HELIOSTAT_SERVER", &url);
    place.set("HELIOSTAT_ADMIN_TOKEN", made["token"].as_str().unwrap());
    let there = place.ok(&["admin-token", "link", "--name", "phone", "--read-only"]);
    assert!(
        there.starts_with(&format!("{url}/sign-in?link=hsl_")),
        "{there}"
    );
    assert_ne!(code(&here), code(&there));
    server.signal("TERM");
    assert!(
        !server
            .stdout_until_end()
            .iter()
            .any(|line| line.contains("link="))
    );
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let place = Place::new();
        let (mut server, url) = place.serve();
        // A request whose body does not come keeps a graceful stop waiting.
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        let id = "3f1b8f8e-6d5c-4f5e-9c53-5d0a4f6a3c11";
        let head = format!(
            "POST /device_api/v1/instances/{id}/devices/fcm HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\
             content-type: application/json\r\ncontent-length: 100\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // Only once the server wants the body is the request in flight.
        let mut continued = [0; 12];
        stream.read_exact(&mut continued).unwrap();
        assert_eq!(&continued, b"HTTP/1.1 100");
        server.signal(signal);
        server.stderr_line(|line| line.contains("stopping"));
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(code));
        server.stderr_line(|line| line == "heliostat: stopped at once");
    }
}

#[test]
fn what_keeps_it_from_starting_is_one_line() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = place.fails(1, &["serve", "--listen", &address]);
    assert!(line.contains(&address), "{line}");
    assert!(!place.path("heliostat.db").exists());

    let cases: [(&[&str], &str); 6] = [
        (&["--listen", "everywhere"], "`listen`"),
        (
            &["--database", "sqlite:/nowhere/at/all.db"],
            "/nowhere/at/all.db",
        ),
        (&["--database", "mysql://x"], "`database`"),
        (&["--config", "missing.toml"], "missing.toml"),
        (
            &["--set", "limits.connections_maximum=1"],
            "limits.connections_maximum",
        ),
        (&["--log", "a=b=c"], "`log.filter`"),
    ];
    for (more, wanted) in cases {
        let mut words = vec!["serve"];
        if !more.contains(&"--listen") {
            words.extend(["--listen", "127.0.0.1:0"]);
        }
        words.extend(more);
        let line = place.fails(1, &words);
        assert!(line.contains(wanted), "{line}");
    }
    place.fails(2, &["serve", "--set", "nonsense"]);
    let config = place.file("config.toml", "listen = [\n");
    assert!(
        place
            .fails(1, &["serve", "--config", &config])
            .contains("config.toml")
    );
}

#[test]
fn settings_may_come_from_a_file() {
    let place = Place::new();
    let config = place.file(
        "config.toml",
        "database = \"sqlite:./from-file.db\"\n[log]\nformat = \"human\"\n",
    );
    let mut server = place.start(&["serve", "--listen", "127.0.0.1:0", "--config", &config]);
    let line = server.stderr_line(|line| line.contains("listening on "));
    assert!(!line.starts_with('{'), "{line}");
    server.signal("TERM");
    assert!(server.wait().success());
    assert!(place.path("from-file.db").exists());
    place.ok(&["instance", "list", "--config", &config]);
}

#[test]
fn health_asks_the_server_of_the_same_settings() {
    let place = Place::new();
    let made = rcgen::generate_simple_self_signed(vec!["push.example.com".to_owned()]).unwrap();
    let certificate = place.file("cert.pem", &made.cert.pem());
    let key = place.file("key.pem", &made.signing_key.serialize_pem());
    let https = format!("[tls]\ncertificate_file = {certificate:?}\nkey_file = {key:?}\n");
    for (name, settings) in [("http.toml", String::new()), ("https.toml", https)] {
        let config = place.file(name, &settings);
        let mut server = place.start(&["serve", "--listen", "0.0.0.0:0", "--config", &config]);
        let line = server.stderr_line(|line| line.contains("listening on "));
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = line["address"].as_str().unwrap();
        let words = ["health", "--listen", address, "--config", &config];
        assert_eq!(place.ok(&words).trim(), "ready", "{name}");
        server.signal("TERM");
        assert!(server.wait().success());
        let line = place.fails(1, &words);
        assert!(line.contains("there is no answer at "), "{line}");
    }
}

#[test]
fn emulators_that_cannot_start_say_why() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = place.fails(1, &["emulate", "--fcm", &address]);
    assert!(line.contains(&address) && line.contains("FCM"), "{line}");
    place.fails(2, &["emulate", "--apns", "nowhere"]);
    let file = place.file("a-file", "");
    assert!(
        place
            .fails(1, &["emulate", "--out", &file])
            .contains("a-file")
    );
}
