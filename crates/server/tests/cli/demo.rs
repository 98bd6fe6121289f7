//! `heliostat demo`: it tells its story, takes what is published by hand, and leaves nothing behind.

use std::process::Command;

use crate::program::Place;

#[test]
fn once_is_the_whole_loop() {
    let place = Place::new();
    let told = place.ok(&["demo", "--once", "--listen", "127.0.0.1:0"]);
    assert!(told.contains("All five notifications arrived."), "{told}");
    assert_eq!(told.matches("Dinner is ready").count(), 3, "{told}");
    assert_eq!(told.matches("Who does the dishes?").count(), 2, "{told}");
    assert!(!told.contains('\u{1b}'), "colours are for terminals");
    assert_eq!(place.temporary(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn it_stays_takes_a_publish_by_hand_and_ends_cleanly() {
    let place = Place::new();
    let mut demo = place.start(&["demo", "--listen", "127.0.0.1:0"]);
    let said = demo
        .stdout_until(|line| line.contains("Ctrl-C ends the demo"))
        .join("\n");
    // The printed command is taken as it is.
    let from = said.find("echo '").unwrap();
    let (command, _) = said[from..].split_once("\n\n").unwrap();
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    for _ in 0..2 {
        demo.stdout_line(|line| line.contains(r#""Hello" "from the command line""#));
    }
    assert_eq!(place.temporary().len(), 1);
    demo.signal("INT");
    assert_eq!(demo.wait().code(), Some(0));
    assert_eq!(place.temporary(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn it_clears_away_when_the_terminal_is_closed() {
    let place = Place::new();
    let mut demo = place.start(&["demo", "--listen", "127.0.0.1:0"]);
    demo.stdout_line(|line| line.contains("Ctrl-C ends the demo"));
    demo.signal("HUP");
    demo.wait();
    assert_eq!(place.temporary(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn what_keeps_it_from_starting_is_one_line() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = place.run_with(&["demo", "--listen", &address], "");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.lines().count() == 1 && stderr.contains(&address),
        "{stderr}"
    );
    assert_eq!(place.temporary(), Vec::<std::path::PathBuf>::new());
}
