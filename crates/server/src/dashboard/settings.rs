//! `/i/{instance}/settings`: keys, credentials with their state, limits, retention, and the end of an instance.

mod credentials;
mod keys;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::interest::INTERESTS_PER_DEVICE_MAX;
use domain::publish::PUBLISH_BODY_LENGTH_MAX;
use domain::user::{DEVICES_PER_USER_AND_PLATFORM_MAX, USER_ID_LENGTH_MAX};
use http::Uri;
use maud::{Markup, html};

pub(super) use credentials::set as set_credential;
pub(super) use keys::{add as add_key, revoke as revoke_key};

use super::components::{copyable, done, number, wrong};
use super::error::PageError;
use super::form::Form;
use super::layout::{self, Tab};
use super::room::Room;
use crate::admin::instances::{self, Instance};
use crate::http::Api;
use crate::http::extract::query_value;

/// `GET`
pub(super) async fn show(
    State(api): State<Api>,
    room: Room,
    uri: Uri,
) -> Result<Response, PageError> {
    let instance = instances::show(api.admin(), room.id()).await?;
    let said = match query_value(uri.query(), "done").as_deref() {
        Some("revoked") => {
            Some("Revoked. What it signed counts no more, on every node within half a second.")
        }
        Some("credential") => {
            Some("The credential is set. The next delivery tells whether the gateway takes it.")
        }
        _ => None,
    };
    Ok(page(&room, &instance, said, None))
}

/// The page, with what was just done or given wrong.
fn page(room: &Room, instance: &Instance, said: Option<&str>, why: Option<&str>) -> Response {
    let body = html! {
        (layout::head("Settings", ""))
        @if let Some(said) = said { (done(said)) }
        @if let Some(why) = why { (wrong(why)) }
        (keys::section(room, instance))
        (credentials::section(room, instance))
        (limits(instance))
        @if room.visitor().is_full() { (end(room)) }
    };
    layout::room_page(room, Tab::Settings, "Settings", &[], &body)
}

fn limits(instance: &Instance) -> Markup {
    html! {
        section.card aria-labelledby="limits" {
            h2 id="limits" { "Limits and retention" }
            dl.facts {
                dt { "Instance id" } dd { (copyable(&instance.id, "the instance id")) }
                dt { "Public VAPID key" } dd.mono { (instance.vapid_public_key) }
                dt { "Devices of a user" } dd { (DEVICES_PER_USER_AND_PLATFORM_MAX) " of each platform" }
                dt { "Interests of a device" } dd { (number(INTERESTS_PER_DEVICE_MAX as u64)) }
                dt { "A user id" } dd { "up to " (USER_ID_LENGTH_MAX) " characters" }
                dt { "A publish" } dd { "up to " (number(PUBLISH_BODY_LENGTH_MAX as u64)) " bytes" }
                dt { "Kept" } dd { "finished publishes for as many days as " code { "retention.publishes_days" } " says, in the server’s configuration" }
            }
        }
    }
}

fn end(room: &Room) -> Markup {
    html! {
        details.ask {
            summary { "Delete this instance" }
            p { "All its devices, users, keys and publishes are gone at once and for good. Type the instance’s name to confirm." }
            form method="post" action=(room.path("settings/delete")) {
                (room.context().form_token().field())
                div.field { label for="confirm" { "The name" } input id="confirm" name="confirm" required autocomplete="off" dir="auto"; }
                button.danger type="submit" { "Delete it" }
            }
        }
    }
}

/// `POST …/settings/delete`
pub(super) async fn delete(
    State(api): State<Api>,
    room: Room,
    form: Form,
) -> Result<Response, PageError> {
    room.visitor().access().full()?;
    let name = room.instance().name().as_str();
    if form.get("confirm") != Some(name.trim()) {
        return Err(PageError::Input(
            "The name that you typed is not the instance’s, so nothing was deleted.".to_owned(),
        ));
    }
    instances::delete(api.admin(), room.actor(), room.id()).await?;
    Ok(Redirect::to("/").into_response())
}
