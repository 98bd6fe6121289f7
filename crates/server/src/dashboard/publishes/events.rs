//! `/i/{instance}/publishes/{publish}/events`: which devices reported that they got a publish, or that it was opened.

use axum::extract::State;
use axum::response::Response;
use domain::device::DeviceOrdinal;
use domain::publish::PublishId;
use http::Uri;
use maud::{Markup, html};
use store::insights::ListedEvent;
use store::publishes::EventKind;

use super::sifted::reports;
use crate::dashboard::components::{self, number, pager, time, with_query};
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{self, Tab};
use crate::dashboard::room::Room;
use crate::http::Api;
use crate::http::extract::{Segments, query_value};

/// How many devices a page has.
const ROWS: usize = 50;

/// `GET`, with `kind` and `after`.
pub(in crate::dashboard) async fn events(
    State(api): State<Api>,
    room: Room,
    Segments((_, id)): Segments<(String, String)>,
    uri: Uri,
) -> Result<Response, PageError> {
    let id = PublishId::parse(&id).ok_or(PageError::NotFound("publish"))?;
    let kind = query_value(uri.query(), "kind");
    let kind = kind.and_then(|word| EventKind::parse(&word));
    let kind = kind.unwrap_or(EventKind::Delivery);
    let after = query_value(uri.query(), "after").and_then(|text| text.parse().ok());
    let store = api.store();
    let report = store.publish_report(room.id(), id).await?;
    let report = report.ok_or(PageError::NotFound("publish"))?;
    let from = DeviceOrdinal(after.unwrap_or_default());
    let found = store.publish_events(room.id(), id, kind, from, ROWS + 1);
    let mut found = found.await?.unwrap_or_default();
    let more = found.len() > ROWS;
    found.truncate(ROWS);
    let publish = room.path(&format!("publishes/{id}"));
    let here = reports(&publish, kind);
    let next = found.last().filter(|_| more);
    let next = next.map(|last| format!("{here}&after={}", last.ordinal.0));
    let (title, count) = match kind {
        EventKind::Delivery => ("Delivered", report.delivered),
        EventKind::Open => ("Opened", report.opened),
    };
    let body = html! {
        p.crumb { a href=(room.path("publishes")) { "Publishes" } " / " a.mono href=(publish) { (id) } }
        (layout::head(title, "What devices reported of this publish, each once."))
        p { strong { (number(count)) } @if count == 1 { " device." } @else { " devices." } }
        div.card {
            @if !found.is_empty() { (rows(&room, &found)) }
            @else if count > 0 && after.is_none() {
                p.soft { "The reports are not kept any more (retention.events_days); how many there were is." }
            } @else { p.soft { "There is none." } }
            (pager(after.map(|_| here.as_str()), next.as_deref()))
        }
    };
    Ok(layout::room_page(&room, Tab::Publishes, title, &[], &body))
}

fn rows(room: &Room, events: &[ListedEvent]) -> Markup {
    let people = room.path("people");
    html! {
        table.cards {
            thead { tr { th scope="col" { "Device" } th scope="col" { "Platform" } th scope="col" { "User" } th scope="col" { "When, by its clock" } } }
            tbody { @for event in events { tr.event {
                @match event.device {
                    Some(device) => {
                        td.id.wide { a href=(with_query(&people, &[("device", &device.to_string())])) { (device) } }
                        td data-label="Platform" { (components::platform(device.platform())) }
                    },
                    None => {
                        td.wide { span.soft { "a device that is gone" } }
                        td data-label="Platform" { span.soft { "–" } }
                    },
                }
                td.break data-label="User" { @match &event.user {
                    Some(user) => a href=(with_query(&people, &[("user", user.as_str())])) { bdi { (user.as_str()) } },
                    None => span.soft { "nobody" },
                } }
                td data-label="When, by its clock" { (time(event.at)) }
            } } }
        }
    }
}
