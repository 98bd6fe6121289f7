//! The devices that a number on another page is made of: of a platform, or active on some days.

use axum::response::Response;
use domain::device::{DeviceOrdinal, Platform};
use maud::html;
use store::activity::WantedDevices;

use super::device_rows;
use crate::admin::insights::devices::{self, LAST_DAYS};
use crate::dashboard::components::{self, pager, with_query};
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{self, Tab};
use crate::dashboard::room::Room;
use crate::http::Api;
use crate::http::extract::query_value;

/// How many devices a page has.
const ROWS: usize = 50;

/// Where the devices of a platform, of all without one, are listed that were active on the days that a word means, or ever.
pub(in crate::dashboard) fn link(room: &Room, platform: Option<Platform>, active: &str) -> String {
    let platform = platform.map_or("", Platform::as_str);
    let query = [
        ("devices", "all"),
        ("platform", platform),
        ("active", active),
    ];
    with_query(&room.path("people"), &query)
}

/// The page, if the query asks for it.
pub(super) async fn page(
    api: &Api,
    room: &Room,
    query: Option<&str>,
) -> Result<Option<Response>, PageError> {
    let value = |name| query_value(query, name).filter(|value| !value.is_empty());
    let platform = value("platform").and_then(|word| Platform::parse(&word));
    let word = value("active");
    let active = word
        .as_deref()
        .and_then(|word| devices::days(word, api.now()));
    if platform.is_none() && active.is_none() {
        return Ok(None);
    }
    let after = value("after").and_then(|text| text.parse().ok());
    let wanted = WantedDevices { platform, active };
    let from = DeviceOrdinal(after.unwrap_or_default());
    let found = devices::find(api.admin(), room.id(), wanted, from, ROWS).await?;
    let word = word.unwrap_or_default();
    let here = link(room, platform, &word);
    let next = found.next.map(|next| format!("{here}&after={}", next.0));
    let mut title = match platform {
        Some(platform) => format!("Devices, {}", components::platform(platform)),
        None => "Devices".to_owned(),
    };
    if active.is_some() {
        title += &match &*word {
            LAST_DAYS => ", active in the last 30 days".to_owned(),
            day => format!(", active on {day}"),
        };
    }
    let about = "Active is who registered, was bound, said its interests, or reported something. Days are in UTC.";
    let body = html! {
        p.crumb { a href=(room.path("people")) { "Users & devices" } }
        (layout::head(&title, if active.is_some() { about } else { "" }))
        div.card {
            @if !found.devices.is_empty() { (device_rows(room, &found.devices)) }
            @else if next.is_some() { p.soft { "None among those that were looked at; there may be some further on." } }
            @else { p.soft { "There is none." } }
            (pager(after.map(|_| here.as_str()), next.as_deref()))
        }
    };
    Ok(Some(layout::room_page(
        room,
        Tab::People,
        &title,
        &[],
        &body,
    )))
}
