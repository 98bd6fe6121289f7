//! One device.

use axum::response::Response;
use domain::device::DeviceId;
use maud::{Markup, html};

use crate::admin::devices::{self, Tested};
use crate::dashboard::components::{self, copyable, done, with_query, wrong};
use crate::dashboard::error::PageError;
use crate::dashboard::figures;
use crate::dashboard::layout::{self, Tab};
use crate::dashboard::room::Room;
use crate::http::Api;

/// How many interests are shown.
const INTERESTS_SHOWN: usize = 200;

/// The page, with what was just done.
pub(super) async fn page(
    api: &Api,
    room: &Room,
    id: DeviceId,
    said: Option<Markup>,
) -> Result<Response, PageError> {
    let found = devices::show(api.admin(), room.id(), id).await?;
    let device = &found.device;
    let people = room.path("people");
    let body = html! {
        p.crumb { a href=(people) { "Users & devices" } }
        div.head { div { h1 { (components::platform(id.platform())) " device" } p { (copyable(&device.id, "the device id")) } }
            a.button.quiet href=(with_query(&room.path("console"), &[("device", &device.id)])) { "Watch" }
        }
        @if let Some(said) = said { (said) }
        section.card aria-label="About the device" {
            dl.facts {
                dt { "User" } dd { @match &device.user {
                    Some(user) => a href=(with_query(&people, &[("user", user)])) { bdi { (user) } },
                    None => "nobody",
                } }
                dt { "Registered first" } dd { time datetime=(device.created_at) data-local="" { (device.created_at) } }
                dt { "Registered last" } dd { time datetime=(device.registered_at) data-local="" { (device.registered_at) } }
                dt { "Its SDK says" } dd { code { (device.metadata) } }
                dt { "Interests" } dd {
                    @if found.interests.is_empty() { "none" }
                    @for interest in found.interests.iter().take(INTERESTS_SHOWN) { a.mono href=(with_query(&people, &[("interest", interest)])) { (interest) } " " }
                    @if found.interests.len() > INTERESTS_SHOWN { "and " (found.interests.len() - INTERESTS_SHOWN) " more" }
                }
            }
        }
        @if room.visitor().may_write() {
            div.card {
                h2 { "Send a test" }
                p { "One notification, tried once; the answer of the gateway is shown here. It counts nowhere." }
                form method="post" action=(room.path("people/test-device")) data-once="" {
                    (room.context().form_token().field())
                    input type="hidden" name="device" value=(device.id);
                    button.quiet type="submit" { "Send it" }
                }
            }
            @if device.user.is_some() { (unbind_form(room, &device.id, "device")) }
            details.ask {
                summary { "Delete this device" }
                p { "It belongs to nobody any more and gets nothing. If the app is opened again, it registers anew, with another id." }
                form method="post" action=(room.path("people/delete-device")) {
                    (room.context().form_token().field())
                    input type="hidden" name="device" value=(device.id);
                    button.danger type="submit" { "Delete the device" }
                }
            }
        }
    };
    Ok(layout::room_page(room, Tab::People, "Device", &[], &body))
}

/// Takes a device from its user, and then leads to one of both, `back`.
pub(super) fn unbind_form(room: &Room, device: &str, back: &str) -> Markup {
    html! {
        details.ask {
            summary { "Unbind" span.unseen { " the device " (device) " from its user" } }
            p.small { "The user’s notifications do not reach it any more. It keeps its id and its interests, and the app may bind it again, to anybody." }
            form method="post" action=(room.path("people/unbind-device")) {
                (room.context().form_token().field())
                input type="hidden" name="device" value=(device);
                input type="hidden" name="back" value=(back);
                button.danger.small type="submit" { "Unbind it" }
            }
        }
    }
}

/// What a test has shown.
pub(super) fn said(tested: &Tested) -> Markup {
    let outcome = figures::in_words(tested.outcome);
    match &tested.reason {
        None => done(&format!("The gateway’s answer: {outcome}.")),
        Some(reason) => wrong(&format!("The gateway’s answer: {outcome} ({reason}).")),
    }
}
