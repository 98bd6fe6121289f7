//! `/i/{instance}`: how an instance is doing. Every number leads to the rows that it is made of.

use axum::extract::State;
use axum::response::Response;
use domain::clock::Timestamp;
use domain::device::Platform;
use maud::{Markup, html};
use store::instances::InstanceRecord;
use store::lookup::PublishReport;

use super::chart::{self, Series, Slot, counted};
use super::components::{self, empty, number, share, time};
use super::error::PageError;
use super::figures::{self, Ends};
use super::layout::{self, Tab};
use super::people::devices_link;
use super::room::Room;
use super::sift::{Counting, Sift};
use super::{publishes, recent};
use crate::admin::insights::Step;
use crate::admin::insights::devices::{self, Counted, LAST_DAYS};
use crate::admin::insights::rates::Reached;
use crate::admin::insights::recent::Recent;
use crate::http::Api;

/// How many of them are listed.
const LISTED: usize = 5;

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
const COUNTED: [Counting; 3] = [Counting::ACCEPTED, Counting::DEAD, Counting::Failed];

const PLATFORMS: [Series; 3] = [
    Series {
        name: components::platform(Platform::ALL[0]),
        class: "c1",
    },
    Series {
        name: components::platform(Platform::ALL[1]),
        class: "c2",
    },
    Series {
        name: components::platform(Platform::ALL[2]),
        class: "c3",
    },
];

/// `GET`
pub(super) async fn show(State(api): State<Api>, room: Room) -> Result<Response, PageError> {
    let record = api.admin().record(room.id()).await?;
    let recent = recent::publishes(&api, &room).await?;
    let counted = devices::count(api.admin(), room.id()).await?;
    let latest = publishes::latest(&api, &room, LISTED).await?;
    let now = api.now();
    let since = Sift::since(recent::begins(now, Step::Day));
    let reports: Vec<&PublishReport> = recent.reports.iter().filter(|one| since.has(one)).collect();
    let body = html! {
        div.head {
            div { h1 { bdi { (room.instance().name().as_str()) } } p.mono.small { (room.id()) } }
            a.button href=(room.path("compose")) { "Compose" }
        }
        (trouble(&room, &record))
        @if recent.reports.is_empty() {
            div.card { (empty("No beam yet", "Nothing has been published in this instance. The guided start leads to the first notification.", &html! { a.button href=(room.path("start")) { "Get started" } })) }
        } @else {
            (numbers(&room, &since, &reports))
            (recent::cut(&recent, recent::begins(now, Step::Day)))
            div.card { (by_day(&room, &recent, now)) }
            div.grid.even {
                section.card { (reasons(&room, &since, &reports)) }
                section.card { (reached(&room, &since, &reports)) }
            }
        }
        @if counted.devices() > 0 { (reachable(&room, &counted)) }
        @if !recent.reports.is_empty() {
            section.card aria-labelledby="latest" {
                h2 id="latest" { "Latest publishes" }
                (latest)
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

/// What the publishes of the last days came to.
fn numbers(room: &Room, since: &Sift, reports: &[&PublishReport]) -> Markup {
    let path = room.path("publishes");
    let link = |counting| since.clone().counting(counting).link(&path);
    let tile = |counting, value| counted(value, Some(&link(counting)));
    let reached = Reached::all(reports.iter().copied());
    let ends = reports.iter().map(|report| Ends::of(report));
    let Ends { failed, dead, .. } = ends.fold(Ends::default(), Ends::plus);
    html! {
        dl.stats {
            div { dt { "Publishes" } dd { a href=(since.link(&path)) { (number(reports.len() as u64)) } small { "in 30 days" } } }
            div { dt { "Accepted" } dd { (tile(Counting::ACCEPTED, reached.accepted)) small { "by a gateway" } } }
            div { dt { "Delivered" } dd { (tile(Counting::DELIVERED, reached.delivered)) small { (share(reached.acknowledged())) " of the accepted" } } }
            div { dt { "Opened" } dd { (tile(Counting::OPENED, reached.opened)) small { (share(reached.opened())) " of the delivered" } } }
            div { dt { "Failed" } dd { (tile(Counting::Failed, failed)) small { (tile(Counting::DEAD, dead)) " more to devices that are gone" } } }
        }
    }
}

/// The devices that there are, and when they were active.
fn reachable(room: &Room, counts: &Counted) -> Markup {
    let rows: Vec<_> = Platform::ALL
        .into_iter()
        .map(|platform| {
            let count = counts.counts.of(platform).devices;
            let link = (count > 0).then(|| devices_link(room, Some(platform), ""));
            (components::platform(platform).to_owned(), count, link)
        })
        .collect();
    let slot = |(day, active): (_, [u64; 3])| {
        let label = devices::label(day);
        Slot {
            href: (active.iter().sum::<u64>() > 0).then(|| devices_link(room, None, &label)),
            links: Platform::ALL
                .map(|platform| devices_link(room, Some(platform), &label))
                .to_vec(),
            values: active.to_vec(),
            label,
        }
    };
    let slots: Vec<Slot> = counts.days().map(slot).collect();
    let active = devices_link(room, None, LAST_DAYS);
    html! {
        dl.stats id="devices" {
            div { dt { "Devices now" } dd { a href=(devices_link(room, None, "")) { (number(counts.devices())) } small { "counted " (time(counts.at)) } } }
            div { dt { "Active devices" } dd { (counted(counts.active(), Some(&active))) small { "in 30 days, of those that there are now" } } }
        }
        div.grid.even {
            section.card { (chart::shares("Devices now, by platform", &rows)) }
            section.card { (chart::columns("Active devices by day", "Day (UTC)", &PLATFORMS, &slots)) }
        }
    }
}

fn by_day(room: &Room, recent: &Recent, now: Timestamp) -> Markup {
    let path = room.path("publishes");
    let slot = |day: recent::Bucket<'_>| {
        let ends = day.reports.iter().map(|report| Ends::of(report));
        let sum = ends.fold(Ends::default(), Ends::plus);
        let link = |counting| day.sift.clone().counting(counting).link(&path);
        Slot {
            href: (!day.reports.is_empty()).then(|| day.sift.link(&path)),
            links: COUNTED.map(link).to_vec(),
            values: vec![sum.accepted, sum.dead, sum.failed],
            label: day.label,
        }
    };
    let days = recent::buckets(recent, now, Step::Day);
    let slots: Vec<Slot> = days.into_iter().map(slot).collect();
    chart::columns("Deliveries by day", "Day (UTC)", &ENDS, &slots)
}

fn reasons(room: &Room, since: &Sift, reports: &[&PublishReport]) -> Markup {
    let failures = figures::failures(reports.iter().copied());
    let rows: Vec<_> = failures
        .into_iter()
        .map(|(platform, outcome, reason, count)| {
            let label = format!(
                "{}: {}, {reason}",
                components::platform(platform),
                figures::in_words(outcome.as_str())
            );
            let sift = since.clone().counting(Counting::End(outcome));
            let sift = sift.on(platform).because(reason);
            (label, count, Some(sift.link(&room.path("publishes"))))
        })
        .collect();
    html! {
        div id="reasons" {
            @if rows.is_empty() { h2 { "Not taken, by reason" } p.soft { "Nothing failed. The beam is on its target." } } @else { (chart::shares("Not taken, by reason", &rows)) }
        }
    }
}

fn reached(room: &Room, since: &Sift, reports: &[&PublishReport]) -> Markup {
    let rows: Vec<_> = Platform::ALL
        .into_iter()
        .map(|platform| {
            let count = reports
                .iter()
                .map(|report| Ends::on(report, Some(platform)).accepted)
                .sum();
            let sift = since.clone().counting(Counting::ACCEPTED).on(platform);
            let link = (count > 0).then(|| sift.link(&room.path("publishes")));
            (components::platform(platform).to_owned(), count, link)
        })
        .collect();
    chart::shares("Accepted, by platform", &rows)
}
