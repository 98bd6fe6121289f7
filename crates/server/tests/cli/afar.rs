//! That whatever manages a database manages a server from afar too.

use crate::program::Place;
use crate::shell::commands;

/// Commands that do not go to a server with an admin token, and why.
const HERE: [(&str, &str); 17] = [
    ("", "names the others"),
    ("serve", "is the server"),
    ("emulate", "is the gateways"),
    ("demo", "is a server of its own"),
    (
        "token",
        "signs with a secret key, which no server gives away",
    ),
    (
        "import devices",
        "writes gateway tokens and users by the million, into the database",
    ),
    (
        "export devices",
        "reads gateway tokens, which no server gives away",
    ),
    ("health", "asks the server itself, without a token"),
    ("doctor", "looks at the machine that it runs on"),
    ("completions", "writes for the shell"),
    ("man", "writes pages"),
    ("migrate", "moves a database"),
    ("backup", "copies the files of a database"),
    ("restore", "copies the files of a database"),
    ("master-key list", "the master key is never sent anywhere"),
    ("master-key rotate", "the master key is never sent anywhere"),
    (
        "publish",
        "goes to a server as a backend does, with --server and the secret key",
    ),
];

#[test]
fn every_command_that_manages_goes_to_a_server_too() {
    let place = Place::new();
    let (mut here, mut afar) = (Vec::new(), Vec::new());
    let all = commands(&place);
    for (command, options) in &all {
        let is_group = all
            .iter()
            .any(|(other, _)| other.len() > command.len() && other.starts_with(command));
        let words = command.join(" ");
        if is_group && !command.is_empty() {
            continue;
        }
        let takes = |option: &str| options.iter().any(|one| one == option);
        if takes("--admin-token") {
            assert!(takes("--server"), "{words}");
            afar.push(words);
        } else {
            here.push(words);
        }
    }
    here.sort();
    let mut expected: Vec<_> = HERE
        .iter()
        .map(|(command, _)| (*command).to_owned())
        .collect();
    expected.sort();
    assert_eq!(here, expected);
    assert!(afar.len() > 40, "{afar:?}");
}

/// It goes there, and not to the database.
#[test]
fn a_server_that_is_not_there_is_named() {
    let place = Place::new();
    for command in [
        &["instance", "list"][..],
        &["audit-log"],
        &["admin-token", "list"],
    ] {
        let token = format!("hsa_{}", "A".repeat(43));
        let to = ["--server", "http://127.0.0.1:1", "--admin-token", &token];
        let output = place.run_with(&[command, &to].concat(), "");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let line = String::from_utf8(output.stderr).unwrap();
        assert!(line.contains("http://127.0.0.1:1"), "{line}");
    }
    assert!(!place.path("heliostat.db").exists());
}
