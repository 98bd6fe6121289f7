//! The publishes that a number on another page is made of.

use axum::response::Response;
use domain::publish::PublishId;
use maud::{Markup, html};
use store::lookup::PublishReport;
use store::publishes::EventKind;
use store::search::{FoundPublish, PublishLabel};

use super::rows;
use crate::admin::insights::recent::LATEST;
use crate::dashboard::components::{self, number, pager, time};
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{self, Tab};
use crate::dashboard::recent;
use crate::dashboard::room::Room;
use crate::dashboard::sift::{Counting, Sift};
use crate::http::Api;
use crate::http::extract::query_value;

/// How many publishes a page has.
const PAGE_LENGTH: usize = 50;

/// The publishes that `sift` lets through, behind the one that the query names.
pub(super) async fn list(
    api: &Api,
    room: &Room,
    sift: &Sift,
    query: Option<&str>,
) -> Result<Response, PageError> {
    let recent = recent::publishes(api, room).await?;
    let all: Vec<&PublishReport> = recent.reports.iter().filter(|one| sift.has(one)).collect();
    let after = query_value(query, "after").and_then(|id| PublishId::parse(&id));
    let place = after.and_then(|after| all.iter().position(|report| report.id == after));
    let rest = &all[place.map_or(0, |place| place + 1)..];
    let shown: Vec<FoundPublish> = rest
        .iter()
        .take(PAGE_LENGTH)
        .map(|one| FoundPublish {
            report: (*one).clone(),
            label: PublishLabel::default(),
        })
        .collect();
    let here = sift.link(&room.path("publishes"));
    let next = shown.last().filter(|_| rest.len() > shown.len());
    let next = next.map(|last| format!("{here}&after={}", last.report.id));
    let total: u64 = all.iter().map(|report| sift.count(report)).sum();
    let body = html! {
        p.crumb { a href=(room.path("publishes")) { "Publishes" } }
        (layout::head(&sift.noun(), &format!("{}.", sift.when())))
        p { strong { (number(total)) } " in " (number(all.len() as u64)) @if all.len() == 1 { " publish." } @else { " publishes." } }
        @if recent.is_cut { p.soft { "Of the latest " (number(LATEST as u64)) " publishes; older ones are not looked at." } }
        div.card {
            @if shown.is_empty() { p.soft { "There is none." } }
            @else if sift.counted().is_none() { (rows(room, &shown)) }
            @else { (counts(room, sift, &shown)) }
            (pager(place.map(|_| here.as_str()), next.as_deref()))
        }
    };
    Ok(layout::room_page(
        room,
        Tab::Publishes,
        &sift.noun(),
        &[],
        &body,
    ))
}

fn counts(room: &Room, sift: &Sift, shown: &[FoundPublish]) -> Markup {
    let noun = sift.noun();
    html! {
        table.cards {
            thead { tr { th scope="col" { "Publish" } th scope="col" { "State" } th scope="col" { "When" } th.num scope="col" { (noun) } } }
            tbody { @for found in shown { @let report = &found.report; tr {
                td.id.wide { a href=(room.path(&format!("publishes/{}", report.id))) { (report.id) } }
                td data-label="State" { (components::state(report.state)) }
                td data-label="When" { (time(report.send_at)) }
                td.num.counted data-label=(noun) { a href=(behind(room, sift, report)) { (number(sift.count(report))) } }
            } } }
        }
    }
}

/// Where the rows are that one publish is counted with.
fn behind(room: &Room, sift: &Sift, report: &PublishReport) -> String {
    let publish = room.path(&format!("publishes/{}", report.id));
    match sift.counted() {
        Some(Counting::Reported(kind)) => reports(&publish, kind),
        Some(Counting::ACCEPTED | Counting::DEAD) | None => format!("{publish}#ends"),
        Some(_) => format!("{}#failures", sift.link(&publish)),
    }
}

/// Where the reports of one kind on a publish are listed.
pub(in crate::dashboard) fn reports(publish: &str, kind: EventKind) -> String {
    format!("{publish}/events?kind={}", kind.as_str())
}
