//! `/i/{instance}/publishes/{publish}`: all about one publish.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Platform};
use domain::interest::InterestName;
use domain::outcome::OutcomeKind;
use domain::publish::{AudienceKind, INTERESTS_PER_PUBLISH_MAX, PublishId};
use domain::user::UserId;
use http::Uri;
use maud::{Markup, html};
use store::lookup::{Failed, PublishReport, PublishState, Target, UserOutcome};
use store::publishes::{EventKind, Tally};

use super::sifted::reports;
use super::{audience, waiting};
use crate::admin::insights::rates::Reached;
use crate::dashboard::chart::{self, counted};
use crate::dashboard::components::{
    self, badge, copyable, done, number, pager, share, time, with_query,
};
use crate::dashboard::error::PageError;
use crate::dashboard::figures::{self, Ends};
use crate::dashboard::layout::{self, Tab};
use crate::dashboard::room::Room;
use crate::dashboard::sift::{Counting, Sift};
use crate::http::Api;
use crate::http::extract::{Segments, query_value};

/// How many users, and how many failures, a page has.
const ROWS: usize = 50;
/// How long before its time the page of a publish begins to look again.
const SOON: Duration = Duration::from_secs(60);
/// How many failures are read at once to find those that are wanted, and how often.
const LOOK: usize = 500;
const LOOKS_MAX: usize = 20;

/// `GET`
pub(in crate::dashboard) async fn show(
    State(api): State<Api>,
    room: Room,
    Segments((_, id)): Segments<(String, String)>,
    uri: Uri,
) -> Result<Response, PageError> {
    let id = PublishId::parse(&id).ok_or(PageError::NotFound("publish"))?;
    let query = uri.query();
    let after_user = query_value(query, "users").and_then(|user| UserId::parse(user).ok());
    let after_failure = query_value(query, "failures").and_then(|text| text.parse().ok());
    let store = api.store();
    let report = store.publish_report(room.id(), id).await?;
    let report = report.ok_or(PageError::NotFound("publish"))?;
    let after = DeviceOrdinal(after_failure.unwrap_or_default());
    let sift = Sift::parse(query).unwrap_or_default();
    let of = query_value(query, "of").and_then(|user| UserId::parse(user).ok());
    let failures = failures(&api, &room, id, after, &sift, of.as_ref()).await?;
    let waiting = waiting::section(&api, &room, id, query).await?;
    let mut label = store
        .publish_label(room.id(), id)
        .await?
        .unwrap_or_default();
    if !store.shows_payloads(room.id()).await? {
        label.title = None;
    }
    let users = match report.target {
        Target::Named(AudienceKind::Users, _) => {
            store
                .publish_users(room.id(), id, after_user, ROWS + 1)
                .await?
        }
        _ => None,
    };
    let said = match query_value(query, "done").as_deref() {
        Some("cancelled") => Some("Cancelled. What was in flight may still arrive."),
        Some("replayed") => {
            Some("Sent again, to exactly the devices that the other publish failed for.")
        }
        Some("sent") => Some("Accepted. It is on its way."),
        Some("scheduled") => Some("Accepted. It waits for its time."),
        _ => None,
    };
    let body = html! {
        p.crumb { a href=(room.path("publishes")) { "Publishes" } }
        @if let Some(said) = said { (done(said)) }
        div id="publish" data-live=[is_lively(&report, api.now()).then_some("")] {
            div.head { div {
                h1 { @match &label.title { Some(title) => bdi { (title) }, None => "Publish" } " " (components::state(report.state)) }
                p { (copyable(&id.to_string(), "the publish id")) }
            } }
            (numbers(&room, &report))
            div.grid.even {
                section.card aria-labelledby="timeline" { h2 id="timeline" { "Timeline" } (timeline(&room, &report, &label.interests)) }
                section.card { (platforms(&room, &report)) }
            }
            @if let Some(users) = &users { (user_table(&room, &report, users)) }
            (waiting)
            (failure_table(&room, &report, &sift, of.as_ref(), failures))
            @if room.visitor().may_write() { (deeds(&room, &report)) }
        }
    };
    Ok(layout::room_page(
        &room,
        Tab::Publishes,
        "Publish",
        &[],
        &body,
    ))
}

/// Whether the page soon says something else, and so looks again by itself.
fn is_lively(report: &PublishReport, now: Timestamp) -> bool {
    match report.state {
        PublishState::Running => true,
        PublishState::Scheduled => report.send_at < now.after(SOON),
        PublishState::Finished | PublishState::Cancelled => false,
    }
}

fn numbers(room: &Room, report: &PublishReport) -> Markup {
    let ends = Ends::of(report);
    let reached = Reached::of(report);
    let here = room.path(&format!("publishes/{}", report.id));
    let (delivered, opened) = (
        reports(&here, EventKind::Delivery),
        reports(&here, EventKind::Open),
    );
    html! {
        dl.stats {
            div { dt { "Accepted" } dd { (counted(ends.accepted, Some("#ends"))) small { "by a gateway" } } }
            div { dt { "Delivered" } dd { (counted(report.delivered, Some(&delivered))) small { (share(reached.acknowledged())) " of the accepted: the acknowledgement rate" } } }
            div { dt { "Opened" } dd { (counted(report.opened, Some(&opened))) small { (share(reached.opened())) " of the delivered: the open rate" } } }
            div { dt { "Failed" } dd { (counted(ends.failed, Some("#failures"))) small { (counted(ends.dead, Some("#ends"))) " more to devices that are gone" } } }
            div { dt { "Waiting" } dd { (counted(report.retries, Some("#waiting"))) small { "for another attempt" } } }
        }
    }
}

fn timeline(room: &Room, report: &PublishReport, interests: &[InterestName]) -> Markup {
    html! {
        dl.facts {
            dt { "For" } dd {
                @match report.target {
                    Target::FailuresOf(other) => { "the devices that " a.mono href=(room.path(&format!("publishes/{other}"))) { (other) } " failed for" }
                    other => (audience(room, other, interests, INTERESTS_PER_PUBLISH_MAX)),
                }
            }
            dt { "Accepted" } dd { (time(report.accepted_at)) }
            @if report.send_at > report.accepted_at { dt { "Sent" } dd { (time(report.send_at)) } }
            @if let Some(end) = report.expires_at { dt { "Not sent after" } dd { (time(end)) } }
            dt { "Ended" } dd {
                @match report.finished_at {
                    Some(at) => { (time(at)) ", " (took(report, at)) },
                    None => "not yet",
                }
            }
        }
    }
}

fn took(report: &PublishReport, end: Timestamp) -> String {
    let millis = end.since(report.send_at).as_millis();
    if millis < 10_000 {
        format!("after {millis} ms")
    } else {
        format!("after {} s", millis / 1000)
    }
}

fn platforms(room: &Room, report: &PublishReport) -> Markup {
    let here = room.path(&format!("publishes/{}", report.id));
    let rows: Vec<(String, u64, Option<String>)> = Platform::ALL
        .into_iter()
        .map(|platform| (platform, Ends::on(report, Some(platform))))
        .filter(|(_, ends)| ends.all() > 0)
        .map(|(platform, ends)| {
            (
                components::platform(platform).to_owned(),
                ends.accepted,
                (ends.accepted > 0).then(|| "#ends".to_owned()),
            )
        })
        .collect();
    let mut tallies: Vec<_> = report.tallies.iter().collect();
    tallies.sort_by_key(|tally| (tally.platform.as_str(), std::cmp::Reverse(tally.count)));
    html! {
        div id="platforms" {
            @if rows.is_empty() {
                h2 { "By platform" }
                p.soft { "No delivery has had its end." }
            } @else {
                (chart::shares("Accepted by platform", &rows))
                details open id="ends" {
                    summary { "Every end" }
                    div.scroll tabindex="0" role="region" aria-label="Every end of a delivery" { table {
                        thead { tr { th scope="col" { "Platform" } th scope="col" { "End" } th scope="col" { "Reason" } th.num scope="col" { "Deliveries" } } }
                        tbody { @for tally in tallies { tr {
                            td { (components::platform(tally.platform)) }
                            td { (figures::in_words(tally.outcome.as_str())) }
                            td.break { (tally.reason) }
                            td.num { (counted(tally.count, failures_of(&here, tally).as_deref())) }
                        } } }
                    } }
                }
            }
        }
    }
}

/// Where the devices are listed whose deliveries had an end. Of those that a gateway took, and of those that are gone, there is no list.
fn failures_of(here: &str, tally: &Tally) -> Option<String> {
    match tally.outcome {
        OutcomeKind::Accepted | OutcomeKind::TokenDead | OutcomeKind::Retry => None,
        outcome => {
            let sift = Sift::default()
                .counting(Counting::End(outcome))
                .on(tally.platform)
                .because(tally.reason.clone().into_owned());
            Some(format!("{}#failures", sift.link(here)))
        }
    }
}

fn outcome_badge(state: PublishState, outcome: &UserOutcome) -> Markup {
    match (state, outcome.accepted, outcome.failed) {
        (_, 1.., _) => badge("good", "accepted"),
        (PublishState::Scheduled | PublishState::Running, ..) => badge("live", "pending"),
        (_, 0, 1..) => badge("bad", "failed"),
        (PublishState::Finished, ..) => badge("", "no devices"),
        (PublishState::Cancelled, ..) => badge("", "cancelled"),
    }
}

fn user_table(room: &Room, report: &PublishReport, users: &[UserOutcome]) -> Markup {
    let shown = &users[..users.len().min(ROWS)];
    let here = room.path(&format!("publishes/{}", report.id));
    let next = shown.last().filter(|_| users.len() > ROWS);
    let next = next.map(|last| with_query(&here, &[("users", last.user.as_str())]) + "#users");
    html! {
        section.card id="users" aria-labelledby="users-head" {
            h2 id="users-head" { "Users" }
            @if shown.is_empty() { p.soft { "Known once it is sent." } } @else {
                table.cards {
                    thead { tr { th scope="col" { "User" } th scope="col" { "Outcome" } th.num scope="col" { "Accepted" } th.num scope="col" { "Failed" } } }
                    tbody { @for outcome in shown { tr {
                        td.wide.break { a href=(with_query(&room.path("people"), &[("user", outcome.user.as_str())])) { bdi { (outcome.user.as_str()) } } }
                        td data-label="Outcome" { (outcome_badge(report.state, outcome)) }
                        td.num data-label="Accepted" { (number(outcome.accepted)) }
                        td.num data-label="Failed" { (counted(outcome.failed, Some(&failed_for(&here, outcome)))) }
                    } } }
                }
                p.small.soft { "Counted for each user as deliveries end. Of what a gateway took, and of devices that are gone, which count as failed, no row is kept." }
            }
            (pager(None, next.as_deref()))
        }
    }
}

/// Where the failed deliveries to a user's devices are listed.
fn failed_for(here: &str, outcome: &UserOutcome) -> String {
    with_query(here, &[("of", outcome.user.as_str())]) + "#failures"
}

/// Failures behind `after` that are wanted, one more than a page has if there are more.
async fn failures(
    api: &Api,
    room: &Room,
    id: PublishId,
    mut after: DeviceOrdinal,
    sift: &Sift,
    of: Option<&UserId>,
) -> Result<Vec<Failed>, PageError> {
    let mut found = Vec::new();
    for _ in 0..LOOKS_MAX {
        let piece = api.store().publish_failures(room.id(), id, after, LOOK);
        let piece = piece.await?.unwrap_or_default();
        let is_last = piece.len() < LOOK;
        if let Some(last) = piece.last() {
            after = last.ordinal;
        }
        let wanted = |failed: &Failed| {
            sift.fits(failed) && of.is_none_or(|user| failed.user.as_ref() == Some(user))
        };
        found.extend(piece.into_iter().filter(wanted));
        if is_last || found.len() > ROWS {
            break;
        }
    }
    found.truncate(ROWS + 1);
    Ok(found)
}

fn failure_table(
    room: &Room,
    report: &PublishReport,
    sift: &Sift,
    of: Option<&UserId>,
    mut failures: Vec<Failed>,
) -> Markup {
    let more = failures.len() > ROWS;
    failures.truncate(ROWS);
    let publish = room.path(&format!("publishes/{}", report.id));
    let here = match of {
        Some(user) => with_query(&publish, &[("of", user.as_str())]),
        None => sift.link(&publish),
    };
    let is_sifted = *sift != Sift::default() || of.is_some();
    let and = if is_sifted { '&' } else { '?' };
    let next = failures.last().filter(|_| more);
    let next = next.map(|last| format!("{here}{and}failures={}#failures", last.ordinal.0));
    html! {
        section.card id="failures" aria-labelledby="failures-head" {
            h2 id="failures-head" { "Failures" }
            @if is_sifted { p { @match of { Some(user) => { "For " bdi { (user.as_str()) } }, None => (sift.noun()) } ". " a href=(format!("{publish}#failures")) { "All failures" } } }
            @if failures.is_empty() {
                p.soft { "No device is known that might have got it and did not." }
            } @else {
                table.cards {
                    thead { tr { th scope="col" { "Device" } th scope="col" { "User" } th scope="col" { "End" } th scope="col" { "Reason" } th scope="col" { "When" } } }
                    tbody { @for failed in &failures { tr.failure {
                        td.id.wide { a href=(with_query(&room.path("people"), &[("device", &failed.device.to_string())])) { (failed.device) } }
                        td.break data-label="User" { @match &failed.user {
                            Some(user) => a href=(with_query(&room.path("people"), &[("user", user.as_str())])) { bdi { (user.as_str()) } },
                            None => span.soft { "none" },
                        } }
                        td data-label="End" { (figures::in_words(failed.outcome.as_str())) }
                        td.break data-label="Reason" { span { (failed.reason) } }
                        td data-label="When" { (time(failed.at)) }
                    } } }
                }
            }
            (pager(None, next.as_deref()))
        }
    }
}

fn deeds(room: &Room, report: &PublishReport) -> Markup {
    let here = room.path(&format!("publishes/{}", report.id));
    let is_over = matches!(
        report.state,
        PublishState::Finished | PublishState::Cancelled
    );
    let failed = Ends::of(report).failed;
    html! {
        @if !is_over {
            details.ask {
                summary { "Cancel this publish" }
                p { "What has not been sent is not sent any more. What is in flight may still arrive." }
                form method="post" action=(format!("{here}/cancel")) { (room.context().form_token().field()) button.danger type="submit" { "Cancel it" } }
            }
        } @else if failed > 0 {
            details.ask.calm {
                summary { "Publish again to the devices that it failed for" }
                p { "The same payload goes once more to " (counted(failed, Some("#failures"))) " devices, as far as they are still there." }
                form method="post" action=(format!("{here}/replay")) { (room.context().form_token().field()) button type="submit" { "Publish again" } }
            }
        }
    }
}
