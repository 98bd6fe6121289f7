//! What must hold when everything is over.

use std::collections::BTreeSet;

use domain::outcome::OutcomeKind;
use domain::publish::PublishId;
use store::Store as _;
use store::lookup::{PublishReport, PublishState};

use crate::ledger::{Account, Stored};
use crate::plot::Mood;
use crate::run::Sum;
use crate::world::{Nature, World, keys};

/// Says what is wrong unless something holds.
macro_rules! must {
    ($holds:expr, $($wrong:tt)+) => {
        if !$holds {
            return Err(format!($($wrong)+));
        }
    };
}

pub(crate) async fn all_finished(world: &World) -> bool {
    if world.ledger.has_scheduled() {
        return false;
    }
    for stored in world.ledger.publishes() {
        let report = world.store.publish_report(keys().instance, stored.id).await;
        if report
            .unwrap()
            .is_none_or(|report| report.finished_at.is_none())
        {
            return false;
        }
    }
    true
}

fn count(report: &PublishReport, outcome: OutcomeKind) -> u64 {
    let fitting = report
        .tallies
        .iter()
        .filter(|tally| tally.outcome == outcome);
    fitting.map(|tally| tally.count).sum()
}

pub(crate) async fn everything(world: &World, answered: &[PublishId]) -> Result<Sum, String> {
    if let Some(wrong) = world.ledger.wrong() {
        return Err(wrong);
    }
    for id in answered {
        let report = world.store.publish_report(keys().instance, *id).await;
        let is_stored = report.unwrap().is_some();
        must!(is_stored, "a publish was answered and is not stored");
    }
    let publishes = world.ledger.publishes();
    let keys_used: Vec<_> = publishes.iter().filter_map(|s| s.key.as_ref()).collect();
    for key in &keys_used {
        let made = keys_used.iter().filter(|other| *other == key).count();
        must!(made == 1, "{made} publishes of one key");
    }
    let deletions = world.ledger.deletions();
    let mut gone = BTreeSet::new();
    for (number, device) in world.devices.iter().enumerate() {
        if !world.is_registered(number).await {
            let is_right = device.nature == Nature::Dead || deletions.contains(&number);
            must!(is_right, "device {number} was removed alive");
            gone.insert(number);
        }
    }
    let mut sum = Sum::default();
    for (number, stored) in publishes.iter().enumerate() {
        let report = world.store.publish_report(keys().instance, stored.id).await;
        let report = report.unwrap().ok_or("a publish is gone")?;
        let account = world.ledger.account(stored.id);
        let alone = publishes.len() == 1 && deletions.is_empty();
        one(world, stored, &report, &account, &gone, alone)
            .map_err(|wrong| format!("publish {}: {wrong}\n{report:#?}", number + 1))?;
        sum.publishes += 1;
        sum.deliveries += stored.audience.len() as u64;
        sum.accepted += account
            .accepted
            .values()
            .map(|count| u64::from(*count))
            .sum::<u64>();
        sum.repeated += account.repeated();
        sum.takeovers += account.takeovers;
        sum.reclaims += account.reclaims;
    }
    Ok(sum)
}

fn one(
    world: &World,
    stored: &Stored,
    report: &PublishReport,
    account: &Account,
    gone: &BTreeSet<usize>,
    alone: bool,
) -> Result<(), String> {
    let audience = &stored.audience;
    let stranger = account
        .ended
        .iter()
        .find(|device| !audience.contains(device));
    must!(
        stranger.is_none(),
        "device {stranger:?} is not in the audience and got it"
    );

    let ends: u64 = report.tallies.iter().map(|tally| tally.count).sum();
    let all = audience.len() as u64;
    let is_cancelled = report.state == PublishState::Cancelled;
    // A device that died of another publish takes what waited for it along.
    let lost = match (is_cancelled, alone) {
        (true, _) => all,
        (false, true) => 0,
        (false, false) => audience.intersection(gone).count() as u64,
    };
    must!(
        (all - lost..=all).contains(&ends),
        "{ends} ends of {all} deliveries, {lost} of whose devices died"
    );
    must!(report.retries == 0, "{} retries are left", report.retries);
    let dead = count(report, OutcomeKind::TokenDead);
    let dead_max = audience.intersection(gone).count() as u64;
    must!(
        dead <= dead_max,
        "{dead} dead tokens and {dead_max} devices removed"
    );

    let untold = audience
        .iter()
        .filter(|device| !gone.contains(device) && !account.ended.contains(device));
    let untold = untold.count() as u64;
    let given_up =
        count(report, OutcomeKind::Expired) + count(report, OutcomeKind::CredentialBroken);
    must!(
        is_cancelled || untold <= given_up,
        "{untold} devices got nothing, and {given_up} deliveries were given up"
    );

    let accepted = account.accepted.len() as u64;
    let tallied = count(report, OutcomeKind::Accepted);
    must!(
        tallied <= accepted,
        "{tallied} accepted by the tallies, {accepted} by the gateways"
    );

    few_repeated(world, account)
}

fn few_repeated(world: &World, account: &Account) -> Result<(), String> {
    let repeated = account.repeated();
    let page = world.plot.settings.page_length as u64;
    let explained = account.takeovers * page + account.reclaims + account.answers_lost;
    must!(
        repeated <= explained,
        "{repeated} repeated; {} takeovers of pages of {page}, {} of retries, {} answers lost",
        account.takeovers,
        account.reclaims,
        account.answers_lost
    );
    must!(
        world.plot.mood == Mood::Stormy || repeated == 0,
        "{repeated} repeated, though there were only graceful stops"
    );
    Ok(())
}
