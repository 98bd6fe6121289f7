//! `/i/{instance}/people`: users and devices. Search, everything about one user's devices, and what can be done with them.

mod counted;
mod deeds;
mod device;
mod user;

use axum::extract::State;
use axum::response::Response;
use domain::device::{DeviceId, DeviceOrdinal};
use domain::interest::InterestName;
use domain::user::UserId;
use http::Uri;
use maud::{Markup, html};
use store::administration::{DeviceFilter, ListedDevice, ListedUser};

pub(super) use counted::link as devices_link;
pub(super) use deeds::{delete_device, delete_user, test, test_device, unbind_device};

use super::components::{self, empty, number, pager, time, with_query, wrong};
use super::error::PageError;
use super::layout::{self, Tab};
use super::room::Room;
use crate::admin::users::may_begin_an_id;
use crate::http::Api;
use crate::http::extract::query_value;

/// How many users or devices a page has.
const ROWS: usize = 50;

/// `GET`: a user (`user`), a device (`device`), the devices of an interest (`interest`), or else users by the beginning of
/// their ids (`search`), or all devices (`devices`).
pub(super) async fn show(
    State(api): State<Api>,
    room: Room,
    uri: Uri,
) -> Result<Response, PageError> {
    let query = uri.query();
    let value = |name| query_value(query, name).filter(|value| !value.trim().is_empty());
    let search = value("search").unwrap_or_default();
    if let Some(id) = value("device")
        .as_deref()
        .or(Some(search.trim()))
        .and_then(DeviceId::parse)
    {
        let unbound = value("done").is_some_and(|word| word == "unbound");
        let said = unbound.then(|| {
            components::done("It belongs to nobody now. The app may bind it again, to anybody.")
        });
        return device::page(&api, &room, id, said).await;
    }
    if value("device").is_some() {
        return Err(PageError::NotFound("device"));
    }
    if let Some(user) = value("user") {
        let user = UserId::parse(user).map_err(|_| PageError::NotFound("user"))?;
        return user::show(&api, &room, user, query).await;
    }
    if let Some(interest) = value("interest") {
        return of_interest(&api, &room, &interest, query).await;
    }
    if value("devices").is_some() {
        if let Some(page) = counted::page(&api, &room, query).await? {
            return Ok(page);
        }
        return all_devices(&api, &room, query).await;
    }
    users(&api, &room, &search, query).await
}

async fn users(
    api: &Api,
    room: &Room,
    search: &str,
    query: Option<&str>,
) -> Result<Response, PageError> {
    let after = query_value(query, "after").and_then(|user| UserId::parse(user).ok());
    let is_first = after.is_none();
    let mut users = if may_begin_an_id(search) {
        let found = api.store().list_users(room.id(), search, after, ROWS + 1);
        found.await?
    } else {
        Vec::new()
    };
    let more = users.len() > ROWS;
    users.truncate(ROWS);
    let here = room.path("people");
    let next = users.last().filter(|_| more);
    let next =
        next.map(|last| with_query(&here, &[("search", search), ("after", last.user.as_str())]));
    let first = (!is_first).then(|| with_query(&here, &[("search", search)]));
    let body = html! {
        (head(room))
        (search_form(room, search))
        section.card aria-labelledby="users" {
            h2 id="users" { "Users" }
            @if users.is_empty() && search.is_empty() {
                (empty("Nobody yet", "A user appears when the first device is bound to one, with a Beams token that your backend signed.", &html! { a.button href=(room.path("start")) { "Get started" } }))
            } @else if users.is_empty() {
                p { "No user’s id begins with " bdi { "“" (search) "”" } ". Ids are compared letter by letter, and case counts." }
            } @else {
                (user_rows(room, &users))
                (pager(first.as_deref(), next.as_deref()))
            }
        }
        p { a href=(with_query(&here, &[("devices", "all")])) { "All devices, those of nobody too" } }
    };
    Ok(layout::room_page(
        room,
        Tab::People,
        "Users & devices",
        &[],
        &body,
    ))
}

fn head(room: &Room) -> Markup {
    html! {
        div.head {
            div { h1 { "Users & devices" } p { "Whom your backend can reach, and on what." } }
            a.button.quiet href=(format!("/try?instance={}", room.id())) { "Make this browser a device" }
        }
    }
}

fn search_form(room: &Room, search: &str) -> Markup {
    html! {
        form.filter method="get" action=(room.path("people")) role="search" aria-label="Users and devices" {
            div.field {
                label for="search" { "The beginning of a user’s id, or a whole device id" }
                input id="search" name="search" type="search" value=(search) dir="auto" autocomplete="off" spellcheck="false" autocapitalize="none";
            }
            button.quiet type="submit" { "Search" }
        }
        form.filter method="get" action=(room.path("people")) aria-label="Devices of an interest" {
            div.field {
                label for="interest" { "Devices with this interest" }
                input id="interest" name="interest" type="search" autocomplete="off" spellcheck="false" autocapitalize="none";
            }
            button.quiet type="submit" { "Show" }
        }
    }
}

fn user_rows(room: &Room, users: &[ListedUser]) -> Markup {
    html! {
        table.cards {
            thead { tr { th scope="col" { "User" } th.num scope="col" { "Devices" } th scope="col" { "Bound since" } th scope="col" { "Last seen" } } }
            tbody { @for listed in users { tr {
                td.wide.break { a href=(with_query(&room.path("people"), &[("user", listed.user.as_str())])) { bdi { (listed.user.as_str()) } } }
                td.num data-label="Devices" { a href=(with_query(&room.path("people"), &[("user", listed.user.as_str())]) + "#devices") { (number(listed.devices)) } }
                td data-label="Bound since" { @match listed.bound_at { Some(at) => (time(at)), None => span.soft { "unknown" } } }
                td data-label="Last seen" { (time(listed.registered_at)) }
            } } }
        }
    }
}

async fn of_interest(
    api: &Api,
    room: &Room,
    interest: &str,
    query: Option<&str>,
) -> Result<Response, PageError> {
    let name = match InterestName::parse(interest.trim()) {
        Ok(name) => name,
        Err(error) => {
            let why = super::instances::sentence(&error);
            let body = html! { (head(room)) (wrong(&why)) (search_form(room, "")) };
            return Ok(layout::room_page(
                room,
                Tab::People,
                "Users & devices",
                &[],
                &body,
            ));
        }
    };
    let title = format!("Devices with the interest {name}");
    let here = with_query(&room.path("people"), &[("interest", name.as_str())]);
    device_list(
        api,
        room,
        &title,
        DeviceFilter::Interest(name),
        &here,
        query,
    )
    .await
}

async fn all_devices(api: &Api, room: &Room, query: Option<&str>) -> Result<Response, PageError> {
    let here = with_query(&room.path("people"), &[("devices", "all")]);
    device_list(api, room, "All devices", DeviceFilter::All, &here, query).await
}

async fn device_list(
    api: &Api,
    room: &Room,
    title: &str,
    filter: DeviceFilter,
    here: &str,
    query: Option<&str>,
) -> Result<Response, PageError> {
    let after = query_value(query, "after")
        .and_then(|text| text.parse().ok())
        .unwrap_or_default();
    let mut devices = api
        .store()
        .list_devices(room.id(), filter, DeviceOrdinal(after), ROWS + 1)
        .await?;
    let more = devices.len() > ROWS;
    devices.truncate(ROWS);
    let next = devices
        .last()
        .filter(|_| more)
        .map(|last| format!("{here}&after={}", last.ordinal.0));
    let body = html! {
        p.crumb { a href=(room.path("people")) { "Users & devices" } }
        (layout::head(title, ""))
        div.card {
            @if devices.is_empty() { p.soft { "There is none." } } @else { (device_rows(room, &devices)) }
            (pager((after > 0).then_some(here), next.as_deref()))
        }
    };
    Ok(layout::room_page(room, Tab::People, title, &[], &body))
}

/// Devices as a table.
fn device_rows(room: &Room, devices: &[ListedDevice]) -> Markup {
    html! {
        table.cards {
            thead { tr { th scope="col" { "Device" } th scope="col" { "Platform" } th scope="col" { "User" } th scope="col" { "Bound since" } th scope="col" { "Last seen" } } }
            tbody { @for listed in devices { tr {
                td.id.wide { a href=(with_query(&room.path("people"), &[("device", &listed.device.id.to_string())])) { (listed.device.id) } }
                td data-label="Platform" { (components::platform(listed.device.id.platform())) }
                td.break data-label="User" { @match &listed.device.user {
                    Some(user) => a href=(with_query(&room.path("people"), &[("user", user.as_str())])) { bdi { (user.as_str()) } },
                    None => span.soft { "nobody" },
                } }
                td data-label="Bound since" { @match listed.bound_at { Some(at) => (time(at)), None => span.soft { "–" } } }
                td data-label="Last seen" { (time(listed.device.registered_at)) }
            } } }
        }
    }
}
