//! The deliveries of a publish that wait for another attempt.

use domain::device::DeviceOrdinal;
use domain::publish::PublishId;
use maud::{Markup, html};
use store::lookup::Waiting;

use crate::dashboard::components::{number, pager, time, with_query};
use crate::dashboard::error::PageError;
use crate::dashboard::room::Room;
use crate::http::Api;
use crate::http::extract::query_value;

/// How many a page has.
const ROWS: usize = 50;

/// What waits, behind the place that a query names; nothing where nothing does.
pub(super) async fn section(
    api: &Api,
    room: &Room,
    id: PublishId,
    query: Option<&str>,
) -> Result<Markup, PageError> {
    let after = query_value(query, "waiting").and_then(|text| text.parse().ok());
    let from = DeviceOrdinal(after.unwrap_or_default());
    let found = api
        .store()
        .publish_waiting(room.id(), id, from, ROWS + 1)
        .await?;
    let mut found = found.unwrap_or_default();
    let more = found.len() > ROWS;
    found.truncate(ROWS);
    if found.is_empty() && after.is_none() {
        return Ok(Markup::default());
    }
    let here = room.path(&format!("publishes/{id}"));
    let at = |place: &str| with_query(&here, &[("waiting", place)]) + "#waiting";
    let first = after.map(|_| at(""));
    let next = found.last().filter(|_| more);
    let next = next.map(|last| at(&last.ordinal.0.to_string()));
    Ok(html! {
        section.card id="waiting" aria-labelledby="waiting-head" {
            h2 id="waiting-head" { "Waiting for another attempt" }
            @if found.is_empty() { p.soft { "No more." } } @else { (rows(room, &found)) }
            (pager(first.as_deref(), next.as_deref()))
        }
    })
}

fn rows(room: &Room, waiting: &[Waiting]) -> Markup {
    let people = room.path("people");
    html! {
        table.cards {
            thead { tr { th scope="col" { "Device" } th scope="col" { "User" } th.num scope="col" { "Attempts" } th scope="col" { "Last reason" } th scope="col" { "Next" } } }
            tbody { @for one in waiting { tr.waiting {
                td.id.wide { a href=(with_query(&people, &[("device", &one.device.to_string())])) { (one.device) } }
                td.break data-label="User" { @match &one.user {
                    Some(user) => a href=(with_query(&people, &[("user", user.as_str())])) { bdi { (user.as_str()) } },
                    None => span.soft { "nobody" },
                } }
                td.num data-label="Attempts" { span { (number(u64::from(one.attempts))) " so far" } }
                td.break data-label="Last reason" { span { (one.reason) } }
                td data-label="Next" { (time(one.due_at)) }
            } } }
        }
    }
}
