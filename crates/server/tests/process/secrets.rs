//! One run with everything in it that is secret, and a look at everything that was written or answered.
//!
//! Each secret is looked for as it is, and in base64, base64url and hexadecimal, wherever in a longer text it may begin.
//! What shows a secret once by design (who creates it is told it) is not looked at; that list is short and stands here.

mod haystack;
mod looking;
mod mistakes;
mod run;

use haystack::{Needle, Where};

use crate::program::client;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_written_or_answered_has_a_secret_in_it() {
    let http = client()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let mut run = run::Run::begin(&http).await;
    run.devices().await;
    run.publishes().await;
    run.mistakes().await;
    run.look().await;
    let helped = run.help(&mut Vec::new());
    assert!(helped > 60, "{helped} commands");
    for shell in ["bash", "fish"] {
        run.command(&["completions", shell]);
    }
    run.command(&["man"]);
    let (heap, needles) = run.end().await;
    // The search finds what is there: a secret that stands in the clear by design.
    let token = needles.iter().find(|needle| needle.name == "FCM token");
    let found = heap.find(token.unwrap(), Where::Kept);
    assert!(!found.is_empty(), "the database was not searched");
    assert!(heap.len(Where::Written) > 100_000, "there is no log");

    let mut leaks = Vec::new();
    for needle in &needles {
        for place in Where::ALL {
            if needle.must_not_be(place) {
                let found = heap.find(needle, place);
                leaks.extend(found.iter().map(|at| format!("{}: {at}", needle.name)));
            }
        }
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    let names: Vec<&str> = needles.iter().map(Needle::name).collect();
    assert_eq!(names.len(), run::SECRETS, "{names:?}");
}
