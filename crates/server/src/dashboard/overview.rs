//! `/i/{instance}`: how an instance is doing.

use axum::extract::State;
use axum::response::Response;
use domain::clock::Timestamp;
use maud::{Markup, html};
use store::instances::InstanceRecord;
use store::lookup::PublishReport;

use super::chart::{self, Series, Slot};
use super::components::{self, empty, number, percent, time};
use super::error::PageError;
use super::figures::{self, Ends};
use super::layout::{self, Tab};
use super::room::Room;
use super::{publishes, recent};
use crate::http::Api;

/// How many of them are listed.
const LISTED: usize = 5;
/// How many reasons of failures are told apart.
const REASONS: usize = 6;

const ENDS: [Series; 3] = [
    Series {
        name: "accepted",
        class: "c1",
    },
    Series {
        name: "device gone",
        class: "c3",
    },
    Series {
        name: "failed",
        class: "bad",
    },
];

/// `GET`
pub(super) async fn show(State(api): State<Api>, room: Room) -> Result<Response, PageError> {
    let record = api.admin().record(room.id()).await?;
    let reports = recent::publishes(&api, &room).await?;
    let body = html! {
        div.head {
            div { h1 { bdi { (room.instance().name().as_str()) } } p.mono.small { (room.id()) } }
            a.button href=(room.path("compose")) { "Compose" }
        }
        (trouble(&room, &record))
        @if reports.is_empty() {
            div.card { (empty("No beam yet", "Nothing has been published in this instance. The guided start leads to the first notification.", &html! { a.button href=(room.path("start")) { "Get started" } })) }
        } @else {
            (numbers(&room, &reports))
            div.card { (by_day(&room, &reports, api.now())) }
            div.grid.even {
                section.card { (reasons(&room, &reports)) }
                section.card { (reached(&reports)) }
            }
            section.card aria-labelledby="latest" {
                h2 id="latest" { "Latest publishes" }
                (publishes::rows(&room, &reports[..reports.len().min(LISTED)]))
                p.small { a href=(room.path("publishes")) { "All publishes" } }
            }
        }
    };
    Ok(layout::room_page(
        &room,
        Tab::Overview,
        "Overview",
        &[],
        &body,
    ))
}

fn trouble(room: &Room, record: &InstanceRecord) -> Markup {
    html! {
        @for credential in &record.credentials {
            @if let Some(broken) = &credential.broken {
                div.note.bad role="alert" { p {
                    strong { (components::platform(credential.platform)) " gets nothing: " }
                    "the gateway refuses the credential since " (time(broken.since)) " (" (broken.reason) "). "
                    a href=(room.path("settings#credentials")) { "Set a new one" } "."
                } }
            }
        }
    }
}

fn numbers(room: &Room, reports: &[PublishReport]) -> Markup {
    let sum = |of: fn(&PublishReport) -> u64| reports.iter().map(of).sum::<u64>();
    let accepted = sum(|report| Ends::of(report).accepted);
    let (delivered, opened) = (sum(|report| report.delivered), sum(|report| report.opened));
    let failed = sum(|report| Ends::of(report).failed);
    let rows = room.path("publishes");
    html! {
        dl.stats {
            div { dt { "Publishes" } dd { a href=(rows) { (number(reports.len() as u64)) } } }
            div { dt { "Accepted" } dd { a href=(rows) { (number(accepted)) } small { "by a gateway" } } }
            div { dt { "Delivered" } dd { a href=(rows) { (number(delivered)) } small { (percent(delivered, accepted)) " of the accepted" } } }
            div { dt { "Opened" } dd { a href=(rows) { (number(opened)) } small { (percent(opened, delivered)) " of the delivered" } } }
            div { dt { "Failed" } dd { a href="#reasons" { (number(failed)) } small { "by reason below" } } }
        }
    }
}

fn by_day(room: &Room, reports: &[PublishReport], now: Timestamp) -> Markup {
    let slot = |day: recent::Day| {
        let ends = day.reports.iter().map(Ends::of);
        let sum = ends.fold(Ends::default(), Ends::plus);
        Slot {
            label: day.label,
            href: Some(room.path("publishes")),
            values: vec![sum.accepted, sum.dead, sum.failed],
        }
    };
    let slots: Vec<Slot> = recent::by_day(reports, now).into_iter().map(slot).collect();
    chart::columns("Deliveries by day", "Day (UTC)", &ENDS, &slots)
}

fn reasons(room: &Room, reports: &[PublishReport]) -> Markup {
    let failures = figures::failures(reports);
    let rows: Vec<_> = failures
        .into_iter()
        .take(REASONS)
        .map(|(platform, outcome, reason, count)| {
            let label = format!(
                "{}: {}, {reason}",
                components::platform(platform),
                figures::in_words(outcome)
            );
            (label, count, Some(room.path("publishes")))
        })
        .collect();
    html! {
        div id="reasons" {
            @if rows.is_empty() { h2 { "Failed, by reason" } p.soft { "Nothing failed. The beam is on its target." } } @else { (chart::shares("Failed, by reason", &rows)) }
        }
    }
}

fn reached(reports: &[PublishReport]) -> Markup {
    let rows: Vec<_> = domain::device::Platform::ALL
        .into_iter()
        .map(|platform| {
            let count = reports
                .iter()
                .map(|report| Ends::on(report, Some(platform)).accepted)
                .sum();
            (components::platform(platform).to_owned(), count, None)
        })
        .collect();
    chart::shares("Accepted, by platform", &rows)
}
