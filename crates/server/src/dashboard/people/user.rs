//! One user: all the devices, and what can be done.

use axum::response::Response;
use domain::device::{DeviceOrdinal, Platform};
use domain::user::{DEVICES_PER_USER_AND_PLATFORM_MAX, UserId};
use maud::{Markup, html};
use store::administration::DeviceFilter;

use super::{device, device_rows};
use crate::dashboard::components::{self, done, with_query};
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{self, Tab};
use crate::dashboard::room::Room;
use crate::http::Api;
use crate::http::extract::query_value;

/// More devices than a user may have.
const DEVICES_MAX: usize = DEVICES_PER_USER_AND_PLATFORM_MAX as usize * Platform::ALL.len();

pub(super) async fn show(
    api: &Api,
    room: &Room,
    user: UserId,
    query: Option<&str>,
) -> Result<Response, PageError> {
    let filter = DeviceFilter::User(user.clone());
    let devices = api
        .store()
        .list_devices(room.id(), filter, DeviceOrdinal::default(), DEVICES_MAX)
        .await?;
    let said = match query_value(query, "done").as_deref() {
        Some("device-deleted") => {
            Some("The device is gone, and with it its interests and its user.")
        }
        Some("unbound") => {
            Some("The device is the user’s no more. It stays, and may be bound again, to anybody.")
        }
        _ => None,
    };
    let body = html! {
        p.crumb { a href=(room.path("people")) { "Users & devices" } }
        div.head {
            div { h1.long[user.as_str().len() > 40] { bdi { (user.as_str()) } } p { "User" } }
            a.button.quiet href=(with_query(&room.path("compose"), &[("user", user.as_str())])) { "Compose" }
            a.button.quiet href=(with_query(&room.path("console"), &[("user", user.as_str())])) { "Watch" }
            a.button.quiet href=(with_query(&room.path("publishes"), &[("user", user.as_str())])) { "Publishes" }
        }
        @if let Some(said) = said { (done(said)) }
        section.card aria-labelledby="devices" {
            h2 id="devices" { "Devices" }
            @if devices.is_empty() {
                p.soft { "This user has no device. What is published to the user now reaches nobody." }
            } @else {
                (device_rows(room, &devices))
                @if room.visitor().may_write() {
                    @for listed in &devices {
                        @let id = listed.device.id;
                        div.lined {
                            span { (components::platform(id.platform())) " " code.small { (id) } }
                            (device::unbind_form(room, &id.to_string(), "user"))
                        }
                    }
                }
            }
        }
        @if room.visitor().may_write() { (deeds(room, &user, devices.is_empty())) }
    };
    Ok(layout::room_page(
        room,
        Tab::People,
        user.as_str(),
        &[],
        &body,
    ))
}

fn deeds(room: &Room, user: &UserId, is_empty: bool) -> Markup {
    let fields = html! {
        (room.context().form_token().field())
        input type="hidden" name="user" value=(user.as_str());
    };
    html! {
        @if !is_empty {
            div.card {
                h2 { "Send a test" }
                p { "“Hello from Heliostat” goes to all the user’s devices at once." }
                form method="post" action=(room.path("people/test")) data-once="" { (fields) button.quiet type="submit" { "Send it" } }
            }
        }
        details.ask {
            summary { "Delete this user" }
            p { "All the user’s devices are deleted. If the app is opened again, it registers anew." }
            form method="post" action=(room.path("people/delete-user")) { (fields) button.danger type="submit" { "Delete the user" } }
        }
    }
}
