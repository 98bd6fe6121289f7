//! `/i/{instance}/insights`: acknowledgement and open rates, as Beams defines them, over time and for each publish.
//!
//! Acknowledged is what devices said that they got, of what gateways took; opened is what was opened, of what devices got.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use store::lookup::PublishReport;

use super::chart::{self, Series, Slot};
use super::components::{self, empty, number, percent, time};
use super::error::PageError;
use super::figures::Ends;
use super::layout::{self, Tab};
use super::recent;
use super::room::Room;
use crate::http::Api;

/// How many publishes are listed.
const LISTED: usize = 50;

const RATES: [Series; 2] = [
    Series {
        name: "acknowledged",
        class: "l1",
    },
    Series {
        name: "opened",
        class: "l2",
    },
];

/// `GET`
pub(super) async fn show(State(api): State<Api>, room: Room) -> Result<Response, PageError> {
    let reports = recent::publishes(&api, &room).await?;
    let body = html! {
        (layout::head("Insights", "How much of what a gateway took reached a device, and how much of that was opened."))
        @if reports.is_empty() {
            div.card { (empty("Nothing to tell yet", "Rates appear with the first publish whose devices report that they got it.", &html! { a.button href=(room.path("start")) { "Get started" } })) }
        } @else {
            (totals(&room, &reports))
            div.card { (over_time(&room, &reports, api.now())) }
            (each(&room, &reports))
        }
    };
    Ok(layout::room_page(
        &room,
        Tab::Insights,
        "Insights",
        &[],
        &body,
    ))
}

fn totals(room: &Room, reports: &[PublishReport]) -> Markup {
    let accepted: u64 = reports.iter().map(|report| Ends::of(report).accepted).sum();
    let delivered: u64 = reports.iter().map(|report| report.delivered).sum();
    let opened: u64 = reports.iter().map(|report| report.opened).sum();
    let rows = room.path("publishes");
    html! {
        dl.stats {
            div { dt { "Acknowledgement rate" } dd { a href="#each" { (percent(delivered, accepted)) } small { (number(delivered)) " of " (number(accepted)) } } }
            div { dt { "Open rate" } dd { a href="#each" { (percent(opened, delivered)) } small { (number(opened)) " of " (number(delivered)) } } }
            div { dt { "Publishes looked at" } dd { a href=(rows) { (number(reports.len() as u64)) } small { "the latest, up to " (recent::LATEST) } } }
        }
    }
}

fn over_time(room: &Room, reports: &[PublishReport], now: domain::clock::Timestamp) -> Markup {
    let slot = |day: recent::Day| {
        let accepted = day
            .reports
            .iter()
            .map(|report| Ends::of(report).accepted)
            .sum();
        let delivered = day.reports.iter().map(|report| report.delivered).sum();
        let opened = day.reports.iter().map(|report| report.opened).sum();
        Slot {
            label: day.label,
            href: Some(room.path("publishes")),
            values: vec![delivered, accepted, opened, delivered],
        }
    };
    let slots: Vec<Slot> = recent::by_day(reports, now).into_iter().map(slot).collect();
    chart::rates("Rates by day", "Day (UTC)", &RATES, &slots)
}

fn each(room: &Room, reports: &[PublishReport]) -> Markup {
    html! {
        section.card id="each" aria-labelledby="each-head" {
            h2 id="each-head" { "Each publish" }
            table.cards {
                thead { tr {
                    th scope="col" { "Publish" } th scope="col" { "State" } th scope="col" { "When" }
                    th.num scope="col" { "Acknowledged" } th.num scope="col" { "Opened" }
                } }
                tbody { @for report in reports.iter().take(LISTED) {
                    @let accepted = Ends::of(report).accepted;
                    tr {
                        td.id.wide { a href=(room.path(&format!("publishes/{}", report.id))) { (report.id) } }
                        td data-label="State" { (components::state(report.state)) }
                        td data-label="When" { (time(report.send_at)) }
                        td.num data-label="Acknowledged" { span { (percent(report.delivered, accepted)) br; span.soft.small { (number(report.delivered)) " / " (number(accepted)) } } }
                        td.num data-label="Opened" { span { (percent(report.opened, report.delivered)) br; span.soft.small { (number(report.opened)) " / " (number(report.delivered)) } } }
                    }
                } }
            }
        }
    }
}
