//! Gateway credentials: what each gateway is shown, whether it takes it, and setting another.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::credential::{ApnsCredential, Credential, FcmCredential, InvalidCredential};
use domain::device::Platform;
use http::StatusCode;
use maud::{Markup, html};

use super::{Kept, page};
use crate::admin::instances::Instance;
use crate::admin::{credentials, instances};
use crate::dashboard::components::{self, badge};
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::instances::sentence;
use crate::dashboard::posted::Posted;
use crate::dashboard::room::Room;
use crate::http::Api;

/// The part of the page.
pub(super) fn section(room: &Room, instance: &Instance) -> Markup {
    html! {
        section.card aria-labelledby="credentials" {
            h2 id="credentials" { "Gateway credentials" }
            table.cards {
                thead { tr { th scope="col" { "Platform" } th scope="col" { "State" } th scope="col" { "Credential" } th scope="col" { "Set" } } }
                tbody {
                    @for platform in [Platform::Apns, Platform::Fcm] { (row(room, instance, platform)) }
                    tr {
                        td data-label="Platform" { (components::platform(Platform::Web)) }
                        td data-label="State" { (badge("good", "ok")) }
                        td data-label="Credential" { span { "the instance’s own VAPID key" } }
                        td data-label="Set" { time datetime=(instance.created_at) data-local="" { (instance.created_at) } }
                    }
                }
            }
            @if room.visitor().may_write() { (apns_form(room)) (fcm_form(room)) }
        }
    }
}

fn row(room: &Room, instance: &Instance, platform: Platform) -> Markup {
    let found = instance
        .credentials
        .iter()
        .find(|credential| credential.platform == platform.as_str());
    html! {
        tr {
            td data-label="Platform" { (components::platform(platform)) }
            @match found {
                Some(credential) => {
                    td data-label="State" { span {
                        @match (&credential.broken_since, &credential.broken_reason) {
                            (Some(since), Some(reason)) => { (badge("bad", "refused")) " " span.small { "since " time datetime=(since) data-local="" { (since) } ": " (reason) } }
                            _ => (badge("good", "ok")),
                        }
                    } }
                    td.break data-label="Credential" { span { (credential.summary) } @if room.visitor().may_write() { (check_form(room, platform)) } }
                    td data-label="Set" { time datetime=(credential.set_at) data-local="" { (credential.set_at) } }
                }
                None => { td data-label="State" { (badge("", "not set")) } td data-label="Credential" {} td data-label="Set" {} }
            }
        }
    }
}

fn check_form(room: &Room, platform: Platform) -> Markup {
    html! {
        form method="post" action=(room.path("settings/credentials/check")) data-once="" {
            (room.context().form_token().field())
            input type="hidden" name="platform" value=(platform);
            button.quiet.small type="submit" { "Check it" span.unseen { ": the credential for " (components::platform(platform)) } }
        }
    }
}

/// `POST …/settings/credentials/check`: shows the credential to its gateway, and says what that answers.
pub(in crate::dashboard) async fn check(
    State(api): State<Api>,
    Posted { room, form }: Posted,
) -> Result<Response, PageError> {
    let platform = form.get("platform").and_then(Platform::parse);
    let platform = platform.ok_or(PageError::NotFound("credential"))?;
    let checked = credentials::check(api.admin(), room.actor(), room.id(), platform).await?;
    let instance = instances::show(api.admin(), room.id()).await?;
    let kept = Kept::of(&api, &room).await?;
    let name = components::platform(platform);
    let why = checked.reason.unwrap_or_default().replace('_', " ");
    Ok(match checked.verdict {
        "taken" => {
            let said = format!("The gateway takes the credential for {name}.");
            page(&room, &instance, &kept, Some(&said), None)
        }
        "refused" => {
            let why = format!("The gateway refuses the credential for {name}: {why}.");
            page(&room, &instance, &kept, None, Some(&why))
        }
        _ => {
            let why = format!("The gateway could not be asked about {name}: {why}. Try again.");
            page(&room, &instance, &kept, None, Some(&why))
        }
    })
}

fn apns_form(room: &Room) -> Markup {
    html! {
        details {
            summary { "Set Apple’s key" }
            form method="post" action=(room.path("settings/credentials")) autocomplete="off" {
                (room.context().form_token().field())
                input type="hidden" name="platform" value="apns";
                div.row {
                    div.field { label for="key-id" { "Key id" } input id="key-id" name="key_id" required maxlength="10" spellcheck="false"; }
                    div.field { label for="team-id" { "Team id" } input id="team-id" name="team_id" required maxlength="10" spellcheck="false"; }
                }
                div.field {
                    label for="p8" { "The .p8 file’s content" }
                    textarea.code id="p8" name="key" rows="5" required spellcheck="false" data-file="" placeholder="-----BEGIN PRIVATE KEY-----" {}
                }
                button type="submit" { "Set it" }
            }
        }
    }
}

fn fcm_form(room: &Room) -> Markup {
    html! {
        details {
            summary { "Set Google’s service account" }
            form method="post" action=(room.path("settings/credentials")) autocomplete="off" {
                (room.context().form_token().field())
                input type="hidden" name="platform" value="fcm";
                div.field {
                    label for="account" { "The key file’s content, JSON" }
                    textarea.code id="account" name="key" rows="5" required spellcheck="false" data-file="" {}
                }
                button type="submit" { "Set it" }
            }
        }
    }
}

/// `POST …/settings/credentials`
pub(in crate::dashboard) async fn set(
    State(api): State<Api>,
    Posted { room, form }: Posted,
) -> Result<Response, PageError> {
    let credential = match read(&form) {
        Ok(credential) => credential,
        Err(error) => {
            let instance = instances::show(api.admin(), room.id()).await?;
            let why = format!("{} Nothing was changed.", sentence(&error));
            let kept = Kept::of(&api, &room).await?;
            let mut response = page(&room, &instance, &kept, None, Some(&why));
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            return Ok(response);
        }
    };
    credentials::set(api.admin(), room.actor(), room.id(), &credential).await?;
    Ok(Redirect::to(&room.path("settings?done=credential#credentials")).into_response())
}

fn read(form: &Form) -> Result<Credential, InvalidCredential> {
    let field = |name| form.get(name).unwrap_or_default();
    match form.get("platform") {
        Some("apns") => ApnsCredential::parse(field("key_id"), field("team_id"), field("key"))
            .map(Credential::Apns),
        _ => FcmCredential::parse(field("key")).map(Credential::Fcm),
    }
}
