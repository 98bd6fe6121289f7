//! `/i/{instance}/publishes`: what was published, the newest first.

mod deeds;
mod events;
mod one;
mod sifted;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::publish::PublishId;
use http::Uri;
use maud::{Markup, html};
use store::lookup::{PublishCursor, PublishReport, PublishState, Target};
use store::publishes::EventKind;

pub(super) use deeds::{cancel, replay};
pub(super) use events::events;
pub(super) use one::show;
pub(super) use sifted::reports;

use super::chart::counted;
use super::components::{self, empty, number, pager, percent, time, with_query};
use super::error::PageError;
use super::figures::Ends;
use super::layout::{self, Tab};
use super::room::Room;
use super::sift::Sift;
use crate::http::Api;
use crate::http::extract::query_value;

/// How many publishes a page has.
const PAGE_LENGTH: usize = 25;

/// `GET`, with `status`, `cursor`, and `id` to go to one.
pub(super) async fn list(
    State(api): State<Api>,
    room: Room,
    uri: Uri,
) -> Result<Response, PageError> {
    let query = uri.query();
    let base = room.path("publishes");
    let wanted = query_value(query, "id")
        .map(|id| id.trim().to_owned())
        .filter(|id| !id.is_empty());
    if let Some(id) = wanted.as_deref().and_then(publish_id) {
        return Ok(Redirect::to(&format!("{base}/{id}")).into_response());
    }
    if let Some(sift) = Sift::parse(query) {
        return sifted::list(&api, &room, &sift, query).await;
    }
    let state = query_value(query, "status").and_then(|word| PublishState::parse(&word));
    let after = query_value(query, "cursor")
        .and_then(|cursor| cursor.parse().ok())
        .map(PublishCursor);
    let page = api
        .store()
        .list_publishes(room.id(), state, after, PAGE_LENGTH)
        .await?;
    let status = state.map_or("", PublishState::as_str);
    let first = after.map(|_| with_query(&base, &[("status", status)]));
    let next = page.next.map(|cursor| {
        with_query(
            &base,
            &[("status", status), ("cursor", &cursor.0.to_string())],
        )
    });
    let body = html! {
        div.head {
            div { h1 { "Publishes" } p { "Every accepted request, the newest first, and what became of it." } }
            a.button href=(room.path("compose")) { "Compose" }
        }
        (filter(&base, state, wanted.as_deref()))
        div.card {
            @if page.publishes.is_empty() {
                (empty(
                    if state.is_some() { "None in this state" } else { "Nothing published yet" },
                    "What your backend publishes, or you compose here, appears in this list at once.",
                    &html! { a.button href=(room.path("compose")) { "Compose a notification" } },
                ))
            } @else {
                (rows(&room, &page.publishes))
                (pager(first.as_deref(), next.as_deref()))
            }
        }
    };
    Ok(layout::room_page(
        &room,
        Tab::Publishes,
        "Publishes",
        &[],
        &body,
    ))
}

/// The id that somebody typed, with or without its prefix.
fn publish_id(text: &str) -> Option<PublishId> {
    PublishId::parse(text).or_else(|| PublishId::parse(&format!("pubid-{text}")))
}

fn filter(base: &str, state: Option<PublishState>, wanted: Option<&str>) -> Markup {
    html! {
        @if wanted.is_some() { (components::wrong("That is no id of a publish: it is pubid- and a UUID.")) }
        form.filter method="get" action=(base) role="search" aria-label="Publishes" {
            div.field {
                label for="status" { "State" }
                select id="status" name="status" {
                    option value="" { "All" }
                    @for known in PublishState::ALL { option value=(known.as_str()) selected[state == Some(known)] { (known.as_str()) } }
                }
            }
            div.field {
                label for="id" { "Publish id" }
                input id="id" name="id" type="search" value=[wanted] placeholder="pubid-…" autocomplete="off" spellcheck="false";
            }
            button.quiet type="submit" { "Show" }
        }
    }
}

/// Publishes as a table.
pub(super) fn rows(room: &Room, publishes: &[PublishReport]) -> Markup {
    html! {
        table.cards {
            thead { tr {
                th scope="col" { "Publish" } th scope="col" { "State" } th scope="col" { "For" } th scope="col" { "When" }
                th.num scope="col" { "Accepted" } th.num scope="col" { "Failed" } th.num scope="col" { "Delivered" } th.num scope="col" { "Opened" }
            } }
            tbody {
                @for report in publishes {
                    @let ends = Ends::of(report);
                    @let publish = room.path(&format!("publishes/{}", report.id));
                    @let tallies = format!("{publish}#ends");
                    tr {
                        td.id.wide { a href=(publish) { (report.id) } }
                        td data-label="State" { (components::state(report.state)) }
                        td data-label="For" { span { (target(report.target)) } }
                        td data-label="When" { (time(report.send_at)) }
                        td.num data-label="Accepted" { (counted(ends.accepted, Some(&tallies))) }
                        td.num data-label="Failed" { (counted(ends.failed + ends.dead, Some(&tallies))) }
                        td.num data-label="Delivered" title=(percent(report.delivered, ends.accepted)) { (counted(report.delivered, Some(&reports(&publish, EventKind::Delivery)))) }
                        td.num data-label="Opened" title=(percent(report.opened, report.delivered)) { (counted(report.opened, Some(&reports(&publish, EventKind::Open)))) }
                    }
                }
            }
        }
    }
}

/// Whom a publish is for, in short.
pub(super) fn target(target: Target) -> String {
    match target {
        Target::Named(kind, count) => {
            let word = kind.as_str();
            let word = if count == 1 {
                word.trim_end_matches('s')
            } else {
                word
            };
            format!("{} {word}", number(count))
        }
        Target::FailuresOf(_) => "failures of another".to_owned(),
    }
}
