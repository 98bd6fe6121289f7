//! `/i/{instance}/insights`: acknowledgement and open rates, as Beams defines them, over time and for each publish. What they are made
//! of, and what a platform cannot report, is written in [`rates`](mod@crate::admin::insights::rates).

use axum::extract::State;
use axum::response::Response;
use domain::clock::Timestamp;
use http::Uri;
use maud::{Markup, html};
use store::lookup::PublishReport;
use store::publishes::EventKind;

use super::chart::{self, Series, Slot, counted};
use super::components::{self, empty, number, share, time, with_query};
use super::error::PageError;
use super::layout::{self, Tab};
use super::room::Room;
use super::sift::{Counting, Sift};
use super::{publishes, recent};
use crate::admin::insights::Step;
use crate::admin::insights::rates::Reached;
use crate::admin::insights::recent::Recent;
use crate::http::Api;
use crate::http::extract::query_value;

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
/// A part and its whole for each of them.
const COUNTED: [Counting; 4] = [
    Counting::DELIVERED,
    Counting::ACCEPTED,
    Counting::OPENED,
    Counting::DELIVERED,
];

/// `GET`, with `by`: the last 30 days, or `hour` for the last 48 hours.
pub(super) async fn show(
    State(api): State<Api>,
    room: Room,
    uri: Uri,
) -> Result<Response, PageError> {
    let step = match query_value(uri.query(), "by").as_deref() {
        Some("hour") => Step::Hour,
        _ => Step::Day,
    };
    let recent = recent::publishes(&api, &room).await?;
    let now = api.now();
    let since = Sift::since(recent::begins(now, step));
    let reports: Vec<&PublishReport> = recent.reports.iter().filter(|one| since.has(one)).collect();
    let body = html! {
        (layout::head("Insights", "How much of what a gateway took reached a device, and how much of that was opened."))
        @if recent.reports.is_empty() {
            div.card { (empty("Nothing to tell yet", "Rates appear with the first publish whose devices report that they got it.", &html! { a.button href=(room.path("start")) { "Get started" } })) }
        } @else {
            (steps(&room, step))
            (totals(&room, &since, &reports))
            (recent::cut(&recent, recent::begins(now, step)))
            div.card { (over_time(&room, &recent, now, step)) }
            (each(&room, &reports))
            (meaning())
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

fn steps(room: &Room, step: Step) -> Markup {
    let path = room.path("insights");
    html! {
        nav aria-label="How long" { p {
            @match step {
                Step::Day => { strong { "30 days" } " · " a href=(with_query(&path, &[("by", "hour")])) { "48 hours" } },
                Step::Hour => { a href=(path) { "30 days" } " · " strong { "48 hours" } },
            }
        } }
    }
}

fn totals(room: &Room, since: &Sift, reports: &[&PublishReport]) -> Markup {
    let reached = Reached::all(reports.iter().copied());
    let path = room.path("publishes");
    let part = |counting, value| {
        let link = since.clone().counting(counting).link(&path);
        counted(value, Some(&link))
    };
    html! {
        dl.stats {
            div { dt { "Acknowledgement rate" } dd { (share(reached.acknowledged())) small { (part(Counting::DELIVERED, reached.delivered)) " delivered of " (part(Counting::ACCEPTED, reached.accepted)) " accepted" } } }
            div { dt { "Open rate" } dd { (share(reached.opened())) small { (part(Counting::OPENED, reached.opened)) " opened of " (part(Counting::DELIVERED, reached.delivered)) " delivered" } } }
            div { dt { "Publishes" } dd { a href=(since.link(&path)) { (number(reports.len() as u64)) } } }
        }
    }
}

fn over_time(room: &Room, recent: &Recent, now: Timestamp, step: Step) -> Markup {
    let path = room.path("publishes");
    let slot = |bucket: recent::Bucket<'_>| {
        let reached = Reached::all(bucket.reports.iter().copied());
        let link = |counting| bucket.sift.clone().counting(counting).link(&path);
        Slot {
            href: (!bucket.reports.is_empty()).then(|| bucket.sift.link(&path)),
            links: COUNTED.map(link).to_vec(),
            values: vec![
                reached.delivered,
                reached.accepted,
                reached.opened,
                reached.delivered,
            ],
            label: bucket.label,
        }
    };
    let buckets = recent::buckets(recent, now, step);
    let slots: Vec<Slot> = buckets.into_iter().map(slot).collect();
    let (title, axis) = match step {
        Step::Day => ("Rates by day", "Sent on (UTC)"),
        Step::Hour => ("Rates by hour", "Sent in the hour from (UTC)"),
    };
    chart::rates(title, axis, &RATES, &slots)
}

fn each(room: &Room, reports: &[&PublishReport]) -> Markup {
    html! {
        section.card id="each" aria-labelledby="each-head" {
            h2 id="each-head" { "Each publish" }
            table.cards {
                thead { tr {
                    th scope="col" { "Publish" } th scope="col" { "State" } th scope="col" { "When" }
                    th.num scope="col" { "Acknowledged" } th.num scope="col" { "Opened" }
                } }
                tbody { @for report in reports.iter().take(LISTED) {
                    @let reached = Reached::of(report);
                    @let publish = room.path(&format!("publishes/{}", report.id));
                    @let delivered = publishes::reports(&publish, EventKind::Delivery);
                    @let opened = publishes::reports(&publish, EventKind::Open);
                    @let ends = format!("{publish}#ends");
                    tr {
                        td.id.wide { a href=(publish) { (report.id) } }
                        td data-label="State" { (components::state(report.state)) }
                        td data-label="When" { (time(report.send_at)) }
                        td.num data-label="Acknowledged" { span { (share(reached.acknowledged())) br; span.soft.small { (counted(reached.delivered, Some(&delivered))) " / " (counted(reached.accepted, Some(&ends))) } } }
                        td.num data-label="Opened" { span { (share(reached.opened())) br; span.soft.small { (counted(reached.opened, Some(&opened))) " / " (counted(reached.delivered, Some(&delivered))) } } }
                    }
                } }
            }
        }
    }
}

/// What the rates are, for who reads them.
fn meaning() -> Markup {
    html! {
        details.card {
            summary { "What these rates are" }
            p { "The acknowledgement rate is what devices reported to have got, of what gateways took. The open rate is what was opened, of what devices reported to have got. Each device counts once for a publish." }
            p { "iOS and macOS report a delivery only where the app may run: in the foreground, or in the background with content-available. Android reports none while the app is force-stopped, and no open of what the app itself showed. Nothing is estimated for what cannot be reported." }
        }
    }
}
