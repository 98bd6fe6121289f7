//! `heliostat token`.

use domain::beams_token::verify;
use domain::clock::{Clock as _, SystemClock};
use domain::instance::{InstanceId, SecretKey};

use crate::program::Place;

fn user_of(token: &str, instance: &str, key: &str) -> String {
    let instance = InstanceId::parse(instance).unwrap();
    let key = SecretKey::parse(key).unwrap();
    let verified = verify(
        token.trim(),
        &instance,
        [&key],
        "http://localhost",
        SystemClock.now(),
    );
    verified.unwrap().as_str().to_owned()
}

#[test]
fn is_signed_with_the_key_in_the_database() {
    let place = Place::new();
    let (id, key) = place.instance();
    let token = place.ok(&["token", "--instance", &id, "ålice +/?"]);
    assert_eq!(token.lines().count(), 1);
    assert_eq!(user_of(&token, &id, &key), "ålice +/?");
    let json = place.json(&["token", "--instance", &id, "bob"]);
    assert_eq!(user_of(json["token"].as_str().unwrap(), &id, &key), "bob");

    // With two keys, the newest: it is the one that will stay.
    let added = place.json(&["instance", "key", "add", "--instance", &id]);
    let token = place.ok(&["token", "--instance", &id, "bob"]);
    assert_eq!(
        user_of(&token, &id, added["secretKey"].as_str().unwrap()),
        "bob"
    );
}

#[test]
fn needs_no_database_with_a_key_given() {
    let mut place = Place::new();
    let id = "3f1b8f8e-6d5c-4f5e-9c53-5d0a4f6a3c11";
    let token = place.ok(&["token", "--instance", id, "bob", "--secret-key", "given"]);
    assert_eq!(user_of(&token, id, "given"), "bob");
    place.set("HELIOSTAT_SECRET_KEY", "from-the-environment");
    let token = place.ok(&["token", "--instance", id, "bob"]);
    assert_eq!(user_of(&token, id, "from-the-environment"), "bob");
    assert!(!place.path("heliostat.db").exists());
}

#[test]
fn wrong_words_are_told() {
    let place = Place::new();
    let id = "3f1b8f8e-6d5c-4f5e-9c53-5d0a4f6a3c11";
    let line = place.fails(
        1,
        &[
            "token",
            "--instance",
            id,
            &"x".repeat(165),
            "--secret-key",
            "k",
        ],
    );
    assert!(line.contains("at most 164"), "{line}");
    let line = place.fails(1, &["token", "--instance", id, "", "--secret-key", "k"]);
    assert!(line.contains("must not be empty"), "{line}");
    let line = place.fails(
        2,
        &["token", "--instance", id, "bob", "--secret-key", "se cret"],
    );
    assert!(
        line.contains("--secret-key") && !line.contains("se cret"),
        "{line}"
    );
    place.fails(2, &["token", "--instance", "nonsense", "bob"]);
    place.fails(2, &["token", "bob"]);
}
