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
use store::webhooks::WebhookRecord;

pub(super) use credentials::{check as check_credential, set as set_credential};
pub(super) use keys::{add as add_key, revoke as revoke_key};

use super::components::{badge, copyable, done, number, wrong};
use super::error::PageError;
use super::form::Form;
use super::layout::{self, Tab};
use super::room::Room;
use crate::admin::instances::{self, Instance};
use crate::admin::webhooks::WEBHOOKS_MAX;
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
    let kept = Kept::of(&api, &room).await?;
    Ok(page(&room, &instance, &kept, said, None))
}

/// What the page shows beside the instance.
struct Kept<'a> {
    api: &'a Api,
    /// How many webhooks there are, and how many of them do not work.
    webhooks: (usize, usize),
}

impl<'a> Kept<'a> {
    async fn of(api: &'a Api, room: &Room) -> Result<Self, PageError> {
        let all = api.store().webhooks(room.id()).await?;
        let is_broken =
            |one: &&WebhookRecord| one.disabled.is_some() || one.failing_since.is_some();
        let broken = all.iter().filter(is_broken).count();
        Ok(Self {
            api,
            webhooks: (all.len(), broken),
        })
    }
}

/// The page, with what was just done or given wrong.
fn page(
    room: &Room,
    instance: &Instance,
    kept: &Kept<'_>,
    said: Option<&str>,
    why: Option<&str>,
) -> Response {
    let body = html! {
        (layout::head("Settings", ""))
        @if let Some(said) = said { (done(said)) }
        @if let Some(why) = why { (wrong(why)) }
        (keys::section(room, instance))
        (credentials::section(room, instance))
        (webhooks(room, kept.webhooks))
        (limits(instance, kept.api))
        (retention(kept.api))
        @if room.visitor().is_full() { (end(room)) }
    };
    layout::room_page(room, Tab::Settings, "Settings", &[], &body)
}

fn webhooks(room: &Room, (all, broken): (usize, usize)) -> Markup {
    html! {
        section.card aria-labelledby="webhooks" {
            h2 id="webhooks" { "Webhooks" }
            p {
                @match all { 0 => "Nobody is told yet what happens here.", 1 => "One receiver is told what happens here.", _ => { (all) " receivers are told what happens here." } }
                @if broken > 0 { " " (badge("bad", &format!("{broken} in trouble"))) }
            }
            div.actions { a.button.quiet href=(room.path("webhooks")) { "To the webhooks" } }
        }
    }
}

fn limits(instance: &Instance, api: &Api) -> Markup {
    let server = &api.shared.limits;
    let rates = &server.rates;
    let count = |value: u32| match value {
        0 => "no limit".to_owned(),
        value => number(u64::from(value)),
    };
    html! {
        section.card aria-labelledby="limits" {
            h2 id="limits" { "Limits in force" }
            dl.facts {
                dt { "Instance id" } dd { (copyable(&instance.id, "the instance id")) }
                dt { "Public VAPID key" } dd.mono { (instance.vapid_public_key) }
                dt { "Devices of a user" } dd { (DEVICES_PER_USER_AND_PLATFORM_MAX) " of each platform" }
                dt { "Interests of a device" } dd { (number(INTERESTS_PER_DEVICE_MAX as u64)) }
                dt { "A user id" } dd { "up to " (USER_ID_LENGTH_MAX) " characters" }
                dt { "A publish" } dd { "up to " (number(PUBLISH_BODY_LENGTH_MAX as u64)) " bytes" }
                dt { "Publishes" } dd { (count(rates.publishes_per_second_max)) " a second, of each instance" }
                dt { "Registrations" } dd { (count(rates.registrations_per_instance_per_minute_max)) " a minute, of each instance; " (count(rates.registrations_per_address_per_minute_max)) " of each address" }
                dt { "Webhooks" } dd { "up to " (WEBHOOKS_MAX) }
            }
            p.hint { "Those of publishes and registrations are set under " code { "limits" } " of the server’s configuration; the others are fixed." }
        }
    }
}

fn retention(api: &Api) -> Markup {
    let keep = &api.shared.keep;
    let days = |kept: std::time::Duration| match kept.as_secs() / (24 * 60 * 60) {
        1 => "1 day".to_owned(),
        days => format!("{} days", number(days)),
    };
    html! {
        section.card aria-labelledby="retention" {
            h2 id="retention" { "Retention in force" }
            dl.facts {
                dt { "Publishes" } dd { (days(keep.publishes)) " after they finished, with tallies, reports and failures" }
                dt { "What they carried" } dd { (days(keep.payloads)) ", after which they cannot be replayed" }
                dt { "Whom they named" } dd { (days(keep.names)) }
                dt { "Reports by the hour" } dd { (days(keep.insights)) }
                dt { "Audit log" } dd { (days(keep.audit)) }
            }
            p.hint { "They are the server’s, under " code { "retention" } " of its configuration. Registered devices stay until they stop, are deleted, or a gateway declares them gone." }
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
