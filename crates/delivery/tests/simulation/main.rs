//! A simulation of delivery: several nodes on one store and the gateways, in virtual time, with everything failing that may.
//!
//! All that happens follows from a seed: how many devices and publishes there are, how nodes are set up, when they crash,
//! stall and stop, which calls of the store fail before or after their effect, what the gateways answer and when. At last
//! all trouble ends, the nodes run until every publish is finished, and then nobody may have been left out, nobody else may
//! have got anything, the tallies must add up, and a device may have got a publish twice only where a crash, a lost lease or
//! a lost answer explains it.
//!
//! `HELIOSTAT_SIMULATION_SEEDS` says how many seeds to run and `HELIOSTAT_SIMULATION_FIRST` where to begin, so that a seed that
//! failed is run again alone (`scripts/simulate 1 SEED`). What a run does depends on nothing but its seed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod check;
mod faulty;
mod gateways;
mod ledger;
mod node;
mod plot;
mod run;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many seeds are run where nobody says.
const SEEDS: u64 = 1000;

#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs a test says which seeds, not a configuration"
)]
fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn nothing_is_lost_and_little_is_repeated() {
    let first = asked("HELIOSTAT_SIMULATION_FIRST", 1);
    let end = first + asked("HELIOSTAT_SIMULATION_SEEDS", SEEDS);
    let next = AtomicU64::new(first);
    let failures = Mutex::new(Vec::new());
    let total = Mutex::new(run::Sum::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end || !failures.lock().unwrap().is_empty() {
                return;
            }
            match run::seed(seed) {
                Ok(outcome) => total.lock().unwrap().add(&outcome.sum),
                Err(failure) => failures.lock().unwrap().push((seed, failure)),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let failures = failures.into_inner().unwrap();
    for (seed, failure) in &failures {
        println!("seed {seed}: {failure}\nrun it again with: scripts/simulate 1 {seed}");
    }
    assert!(failures.is_empty());
    println!("{} seeds: {}", end - first, total.lock().unwrap());
}

#[test]
fn a_seed_always_does_the_same() {
    for seed in [1, 2, 3, 4, 5] {
        let story = || run::seed(seed).map(|outcome| (outcome.trace, outcome.sum));
        assert_eq!(story(), story(), "seed {seed}");
    }
}
