//! `/i/{instance}/publishes`: what was published, the newest first.

mod deeds;
mod events;
mod one;
mod search;
mod sifted;
mod waiting;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::interest::InterestName;
use domain::publish::PublishId;
use http::Uri;
use maud::{Markup, html};
use store::lookup::{PublishCursor, Target};
use store::publishes::EventKind;
use store::search::{FoundPublish, FoundPublishes, Reach, WantedPublishes};

pub(super) use deeds::{cancel, replay};
pub(super) use events::events;
pub(super) use one::show;
use search::Asked;
pub(super) use sifted::reports;

use super::chart::counted;
use super::components::{self, empty, number, pager, percent, time, with_query};
use super::error::PageError;
use super::figures::Ends;
use super::layout::{self, Tab};
use super::room::Room;
use super::sift::Sift;
use crate::admin::publishes::SEARCH_DEPTH;
use crate::http::Api;
use crate::http::extract::query_value;

/// How many publishes a page has.
const PAGE_LENGTH: usize = 25;
/// How many interests of a publish are named in a list.
const NAMED: usize = 3;

/// `GET`: what is searched for and `cursor`, or `id` to go to one.
pub(super) async fn list(
    State(api): State<Api>,
    room: Room,
    uri: Uri,
) -> Result<Response, PageError> {
    let query = uri.query();
    let base = room.path("publishes");
    let wanted_id = query_value(query, "id")
        .map(|id| id.trim().to_owned())
        .filter(|id| !id.is_empty());
    if let Some(id) = wanted_id.as_deref().and_then(publish_id) {
        return Ok(Redirect::to(&format!("{base}/{id}")).into_response());
    }
    if let Some(sift) = Sift::parse(query) {
        return sifted::list(&api, &room, &sift, query).await;
    }
    let asked = Asked::parse(query);
    let after = query_value(query, "cursor")
        .and_then(|cursor| cursor.parse().ok())
        .map(PublishCursor);
    let shows_titles = api.store().shows_payloads(room.id()).await?;
    let (found, wrong) = match asked.wanted(shows_titles) {
        Ok(wanted) => (find(&api, &room, wanted, after, PAGE_LENGTH).await?, None),
        Err(why) => (FoundPublishes::default(), Some(why)),
    };
    let first = after.map(|_| asked.link(&base, ""));
    let next = found
        .next
        .map(|next| asked.link(&base, &next.0.to_string()));
    let body = html! {
        div.head {
            div { h1 { "Publishes" } p { "Every accepted request, the newest first, and what became of it." } }
            a.button href=(room.path("compose")) { "Compose" }
        }
        @if let Some(wrong) = &wrong { (components::wrong(wrong)) }
        (asked.form(&room, shows_titles))
        (by_id(&base, wanted_id.as_deref()))
        div.card {
            @if !found.publishes.is_empty() { (rows(&room, &found.publishes)) }
            @else if after.is_none() && wrong.is_none() && !asked.is_search() {
                (empty(
                    if asked == Asked::default() { "Nothing published yet" } else { "None in this state" },
                    "What your backend publishes, or you compose here, appears in this list at once.",
                    &html! { a.button href=(room.path("compose")) { "Compose a notification" } },
                ))
            }
            @if asked.is_search() && wrong.is_none() { (search::looked(found.back_to, found.publishes.len(), next.is_some())) }
            (pager(first.as_deref(), next.as_deref()))
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

/// Publishes that are wanted, with their titles where payloads may be shown.
async fn find(
    api: &Api,
    room: &Room,
    wanted: WantedPublishes,
    after: Option<PublishCursor>,
    limit: usize,
) -> Result<FoundPublishes, PageError> {
    let reach = Reach {
        depth: SEARCH_DEPTH,
        limit,
    };
    let store = api.store();
    let mut found = store
        .search_publishes(room.id(), wanted, after, reach)
        .await?;
    if !store.shows_payloads(room.id()).await? {
        for one in &mut found.publishes {
            one.label.title = None;
        }
    }
    Ok(found)
}

/// The latest publishes as a table.
pub(super) async fn latest(api: &Api, room: &Room, limit: usize) -> Result<Markup, PageError> {
    let found = find(api, room, WantedPublishes::default(), None, limit).await?;
    Ok(rows(room, &found.publishes))
}

/// The id that somebody typed, with or without its prefix.
fn publish_id(text: &str) -> Option<PublishId> {
    PublishId::parse(text).or_else(|| PublishId::parse(&format!("pubid-{text}")))
}

fn by_id(base: &str, wanted: Option<&str>) -> Markup {
    html! {
        @if wanted.is_some() { (components::wrong("That is no id of a publish: it is pubid- and a UUID.")) }
        form.filter method="get" action=(base) aria-label="One publish" {
            div.field {
                label for="id" { "Publish id" }
                input id="id" name="id" type="search" value=[wanted] placeholder="pubid-…" autocomplete="off" spellcheck="false";
            }
            button.quiet type="submit" { "Show" }
        }
    }
}

/// Publishes as a table.
fn rows(room: &Room, publishes: &[FoundPublish]) -> Markup {
    html! {
        table.cards {
            thead { tr {
                th scope="col" { "Publish" } th scope="col" { "State" } th scope="col" { "For" } th scope="col" { "When" }
                th.num scope="col" { "Accepted" } th.num scope="col" { "Not taken" } th.num scope="col" { "Delivered" } th.num scope="col" { "Opened" }
            } }
            tbody {
                @for found in publishes {
                    @let report = &found.report;
                    @let ends = Ends::of(report);
                    @let publish = room.path(&format!("publishes/{}", report.id));
                    @let tallies = format!("{publish}#ends");
                    tr {
                        td.id.wide { @match &found.label.title {
                            Some(title) => { a.title href=(publish) { bdi { (title) } } br; span.small.soft { (report.id) } },
                            None => a href=(publish) { (report.id) },
                        } }
                        td data-label="State" { (components::state(report.state)) }
                        td data-label="For" { span { (audience(room, report.target, &found.label.interests, NAMED)) } }
                        td data-label="When" { (time(report.send_at)) }
                        td.num data-label="Accepted" { (counted(ends.accepted, Some(&tallies))) }
                        td.num data-label="Not taken" { (counted(ends.failed + ends.dead, Some(&tallies))) }
                        td.num data-label="Delivered" title=(percent(report.delivered, ends.accepted)) { (counted(report.delivered, Some(&reports(&publish, EventKind::Delivery)))) }
                        td.num data-label="Opened" title=(percent(report.opened, report.delivered)) { (counted(report.opened, Some(&reports(&publish, EventKind::Open)))) }
                    }
                }
            }
        }
    }
}

/// Whom a publish is for: the first `most` interests that it names, by name, as far as they are kept.
fn audience(room: &Room, of: Target, interests: &[InterestName], most: usize) -> Markup {
    let named = &interests[..interests.len().min(most)];
    let others = interests.len() - named.len();
    html! {
        @if named.is_empty() { (target(of)) }
        @for (place, name) in named.iter().enumerate() {
            @if place > 0 { ", " }
            a.break href=(with_query(&room.path("people"), &[("interest", name.as_str())])) { (name) }
        }
        @if others > 0 { " and " (number(others as u64)) " more" }
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
