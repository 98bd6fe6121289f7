//! A wall clock that jumps by hours, back and forth, while everything else goes on.
//!
//! While the clock is wrong by more than minutes, Apple and Google refuse the tokens it signs. What they refuse is counted, and a
//! replay sends it again; everything else goes its way.

use domain::clock::{Clock as _, SystemClock, Timestamp};

use super::{Faults, PLOT, until_taken};
use crate::program::Server;
use crate::stage::{INSTANCE, Plot, Stage};

const HOURS: i64 = 6;
const REPLAYS_MAX: usize = 10;

/// Nothing waits for hours: every delivery of every publish was accepted, or is counted as refused for the tokens' sake.
async fn all_are_counted(stage: &Stage, server: &Server, answered: &[String]) {
    stage.settled(server).await;
    for publish in answered {
        let told = stage.report(publish);
        let mut ends = 0;
        for tally in told["tallies"].as_array().unwrap() {
            ends += tally["count"].as_u64().unwrap();
            let outcome = tally["outcome"].as_str().unwrap();
            assert!(
                ["accepted", "credential_broken"].contains(&outcome),
                "{told}"
            );
        }
        assert_eq!(ends, PLOT.devices as u64, "{told}");
    }
}

/// The clock did jump: the server says another hour than this test.
fn is_of_a_clock_off_by(stage: &Stage, hours: i64, publish: &str) {
    let told = stage.report(publish);
    let accepted = Timestamp::parse_rfc3339(told["acceptedAt"].as_str().unwrap()).unwrap();
    let off = accepted.as_secs() - SystemClock.now().as_secs() - hours * 3600;
    assert!(
        off.abs() < 3600,
        "off by {off} s more than {hours} h: {told}"
    );
}

/// What was refused comes with a replay.
async fn all_come_in_the_end(stage: &Stage, server: &Server, answered: &[String]) {
    for publish in answered {
        let mut devices = stage.receipts.tokens(publish);
        let mut last = publish.clone();
        // A replay goes to what failed alone.
        for _ in 0..REPLAYS_MAX {
            if devices.len() == PLOT.devices {
                break;
            }
            last = stage.manage(&["publishes", "replay", "--instance", INSTANCE, &last]);
            last = last.trim().to_owned();
            stage.settled(server).await;
            devices.extend(stage.receipts.tokens(&last));
        }
        let show = ["publishes", "show", "--instance", INSTANCE, &last];
        let told = stage.manage(&show);
        assert_eq!(devices.len(), PLOT.devices, "{publish}, at last: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_by_hours_loses_nothing_and_holds_nothing_up_for_hours() {
    let faults = Faults::none();
    // A third of the deliveries waits for another attempt when the clock jumps.
    let plot = Plot {
        stumbling: 3,
        ..PLOT
    };
    let (stage, mut server) = Stage::set_in(&plot, faults.surroundings()).await;
    let mut answered = Vec::new();
    for off in [HOURS, 0, -HOURS, 0, HOURS, -HOURS, 0] {
        stage.tell_fates(&plot);
        until_taken(&stage, &server, &mut answered).await;
        faults.clock_is_off_by(off);
        until_taken(&stage, &server, &mut answered).await;
        is_of_a_clock_off_by(&stage, off, answered.last().unwrap());
    }
    all_are_counted(&stage, &server, &answered).await;
    // What a killed server had leased until hours from now.
    faults.clock_is_off_by(HOURS);
    until_taken(&stage, &server, &mut answered).await;
    server.kill();
    faults.clock_is_off_by(0);
    // Otherwise what was refused is tried again after a minute.
    stage.set_credentials();
    server = stage.serve().await;
    all_are_counted(&stage, &server, &answered).await;
    all_come_in_the_end(&stage, &server, &answered).await;
    server.kill();
    stage.strike().await;
}
