//! `heliostat master-key` beside one server on a file. With several on PostgreSQL it is tested with the cluster.

use domain::seal::{Keyring, MasterKey};

use crate::program::Place;

const FILE: &str = "heliostat.db.key";
const WITH_FILE: &[&str] = &["master-key", "rotate"];

fn write_keys(place: &Place, keys: &[&str]) {
    std::fs::write(place.path(FILE), keys.join("\n")).unwrap();
}

fn id(key: &str) -> String {
    Keyring::from_base64(key).unwrap().ids()[0].to_string()
}

/// A database with an instance, and two keys: the one it is sealed under, and another.
fn filled() -> (Place, String, [String; 2]) {
    let place = Place::new();
    let (instance, _) = place.instance();
    let add = ["webhook", "add", "--instance", &instance];
    place.ok(&[&add[..], &["--url", "https://app.example/hook"]].concat());
    let old = std::fs::read_to_string(place.path(FILE)).unwrap();
    let new = MasterKey::random().to_base64().to_string();
    (place, instance, [old.trim().to_owned(), new])
}

fn stop(mut server: crate::program::Running) {
    server.signal("TERM");
    assert!(server.wait().success());
}

#[test]
fn a_key_is_changed_beside_a_server() {
    let (place, instance, [old, new]) = filled();
    let token = ["token", "--instance", &instance, "ann"];
    let (server, _) = place.serve();
    write_keys(&place, &[&new, &old]);
    let line = place.fails(1, WITH_FILE);
    assert!(line.contains("does not have the master key"), "{line}");
    assert_eq!(place.json(&["master-key", "list"])["keys"][1]["values"], 3);
    stop(server);

    let (server, _) = place.serve();
    let said = place.ok(WITH_FILE);
    let (new_id, old_id) = (id(&new), id(&old));
    assert!(said.contains("3 values were sealed anew"), "{said}");
    assert!(
        said.contains(&format!("Nothing needs {old_id} any more")),
        "{said}"
    );
    // Nothing is left to do, and nothing changes.
    let again = place.json(WITH_FILE);
    assert_eq!(again["resealed"], 0, "{again}");
    assert_eq!(again["keys"][0]["id"], new_id.as_str());
    assert_eq!(again["keys"][0]["serversSealing"], 1);
    place.ok(&token);
    let entries = place.json(&["audit-log"])["entries"].clone();
    let told: Vec<_> = entries
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| {
            let beside = ["instance.create", "webhook.add", "sign_in_link.create"];
            beside.iter().all(|action| entry["action"] != *action)
        })
        .map(|entry| {
            let of = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            (of("actor"), of("action"), of("subject"), of("outcome"))
        })
        .collect();
    let entry = |action: &str, subject: &str, outcome: &str| {
        let of = |text: &str| text.to_owned();
        (of("command_line"), of(action), of(subject), of(outcome))
    };
    // The newest first; the first one was refused, since the server had not the new key.
    assert_eq!(
        told,
        [
            entry("secret_key.use", "", "done"),
            entry("master_key.rotate", &new_id, "done"),
            entry("master_key.rotate", &new_id, "done"),
            entry("master_key.rotate", &new_id, "failed"),
        ]
    );
    stop(server);
    write_keys(&place, &[&new]);
    place.ok(&token);
    let (server, _) = place.serve();
    stop(server);
}

#[test]
fn a_key_that_is_needed_is_not_given_up_silently() {
    let (place, instance, [old, new]) = filled();
    write_keys(&place, &[&new]);
    // Nothing here opens: whoever asks is told which key it takes.
    let listed = place.json(&["master-key", "list"]);
    assert_eq!(listed["keys"][1]["role"], "missing", "{listed}");
    let line = place.fails(1, WITH_FILE);
    assert!(
        line.contains("3 values open under none") && line.contains(&id(&old)),
        "{line}"
    );
    let line = place.fails(1, &["token", "--instance", &instance, "ann"]);
    assert!(
        line.contains(&format!("needs the master key {}", id(&old))),
        "{line}"
    );
    // Nothing was harmed.
    write_keys(&place, &[&old]);
    place.ok(&["token", "--instance", &instance, "ann"]);
    // Neither key is ever shown.
    write_keys(&place, &[&new, &old]);
    let shown = place.ok(&["master-key", "list"]) + &place.ok(WITH_FILE);
    assert!(!shown.contains(&old) && !shown.contains(&new), "{shown}");
}

#[test]
fn keys_that_make_no_sense_are_one_line() {
    let (place, _, [old, new]) = filled();
    for keys in [vec![&*old, "c2hvcnQ="], vec![&*old, &*new, &*old], vec![""]] {
        write_keys(&place, &keys);
        let line = place.fails(1, &["master-key", "list"]);
        assert!(line.contains(FILE), "{line}");
        assert!(!line.contains(&*old), "{line}");
    }
    let elsewhere = Place::new();
    let line = elsewhere.fails(1, WITH_FILE);
    assert!(line.contains("there is no database"), "{line}");
}
