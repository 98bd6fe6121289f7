//! `/i/{instance}/webhooks`: where an app's backend is told what happened, and adding a place.

mod deeds;
mod delivery;
mod fields;
mod one;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::webhook::Events;
use http::{StatusCode, Uri};
use maud::{Markup, html};
use zeroize::Zeroizing;

pub(super) use deeds::{change, disable, enable, remove, replay, replay_failed, test};
pub(super) use delivery::show as show_delivery;
pub(super) use one::show;

use super::components::{badge, copyable, done, empty, moment, wrong};
use super::error::PageError;
use super::instances::sentence;
use super::layout::{self, Tab};
use super::posted::Posted;
use super::room::Room;
use crate::admin::error::AdminError;
use crate::admin::webhooks::{self, Added, New, Typed, Webhook, WebhookSecretText};
use crate::http::Api;
use crate::http::extract::query_value;

/// `GET`
pub(super) async fn list(
    State(api): State<Api>,
    room: Room,
    uri: Uri,
) -> Result<Response, PageError> {
    let said = query_value(uri.query(), "done")
        .filter(|word| word == "removed")
        .map(|_| done("The webhook is gone, with all that waited for it."));
    page(&api, &room, &Typed::default(), said).await
}

/// The list and the form, with what was typed into it so far.
async fn page(
    api: &Api,
    room: &Room,
    typed: &Typed,
    said: Option<Markup>,
) -> Result<Response, PageError> {
    let known = webhooks::list(api.admin(), room.id()).await?;
    let body = html! {
        (layout::head("Webhooks", "Where your backend is told what became of publishes, of users and of devices, signed."))
        @if let Some(said) = said { (said) }
        div.card {
            @if known.is_empty() {
                (empty("Nobody is told yet", "Add the URL of your backend, and it hears of each event that you choose, with retries until it has taken it.", &html! {}))
            } @else {
                (rows(room, &known))
            }
        }
        @if room.visitor().may_write() { (form(room, typed)) }
    };
    Ok(layout::room_page(
        room,
        Tab::Webhooks,
        "Webhooks",
        &[],
        &body,
    ))
}

fn rows(room: &Room, known: &[Webhook]) -> Markup {
    html! {
        table.cards {
            thead { tr { th scope="col" { "Receiver" } th scope="col" { "State" } th scope="col" { "Signed" } th.num scope="col" { "Events" } th scope="col" { "Added" } } }
            tbody { @for webhook in known { tr {
                td.wide.break { a href=(room.path(&format!("webhooks/{}", webhook.id))) { (webhook.url) } }
                td data-label="State" { span { (state(webhook)) } }
                td data-label="Signed" { span { (fields::scheme(webhook.scheme)) } }
                td.num data-label="Events" title=(webhook.events.join(" ")) { (webhook.events.len()) }
                td data-label="Added" { (moment(&webhook.created_at)) }
            } } }
        }
    }
}

/// How a webhook is doing, in a word or two.
fn state(webhook: &Webhook) -> Markup {
    if webhook.disabled_since.is_some() {
        badge("bad", "disabled")
    } else if webhook.full_since.is_some() {
        badge("bad", "queue full")
    } else if webhook.failing_since.is_some() {
        badge("bad", "failing")
    } else {
        badge("good", "enabled")
    }
}

fn form(room: &Room, typed: &Typed) -> Markup {
    let events = if typed.events.is_empty() {
        Events::BEAMS
            .iter()
            .map(|event| event.to_string())
            .collect()
    } else {
        typed.events.clone()
    };
    html! {
        section.card aria-labelledby="add" {
            h2 id="add" { "Add a webhook" }
            form method="post" action=(room.path("webhooks")) autocomplete="off" data-once="" {
                (room.context().form_token().field())
                (fields::url(&typed.url))
                (fields::events(&events))
                (fields::schemes(typed.scheme.as_deref()))
                div.field {
                    label for="secret" { "Secret" }
                    input id="secret" name="secret" type="password" autocomplete="new-password" spellcheck="false" aria-describedby="secret-hint";
                    p.hint id="secret-hint" { "What requests are signed with. Left empty, a random one is made, and shown once." }
                }
                (fields::custom_data(typed.custom_data.as_deref().unwrap_or_default()))
                button type="submit" { "Add it" }
            }
        }
    }
}

/// `POST`
pub(super) async fn add(
    State(api): State<Api>,
    Posted { room, form }: Posted,
) -> Result<Response, PageError> {
    let text = |name| form.get(name).map(str::to_owned);
    let typed = Typed {
        url: text("url").unwrap_or_default(),
        secret: text("secret").map(|secret| WebhookSecretText(Zeroizing::new(secret))),
        scheme: text("scheme"),
        events: form.all("event").map(str::to_owned).collect(),
        custom_data: text("custom_data"),
    };
    let admin = api.admin();
    let added = match fields::chosen(&typed.events)
        .and_then(|()| New::check(&typed, admin.instances.guard()))
    {
        Ok(new) => webhooks::add(admin, room.actor(), room.id(), new).await,
        Err(error) => Err(error),
    };
    match added {
        Ok(added) => Ok(shown_once(&room, &added)),
        Err(error) => {
            let mut response = page(&api, &room, &typed, Some(refused(error)?)).await?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
    }
}

/// What is said of something typed that breaks a rule; anything else is a page of its own.
fn refused(error: AdminError) -> Result<Markup, PageError> {
    match error {
        AdminError::Field { .. } | AdminError::Conflict(_) => Ok(wrong(&sentence(&error))),
        other => Err(other.into()),
    }
}

fn shown_once(room: &Room, added: &Added) -> Response {
    let body = html! {
        (layout::head("A new webhook", "Keep its secret now: it is shown this once."))
        div.card {
            dl.facts {
                dt { "Webhook id" } dd { (copyable(&added.id, "the webhook id")) }
                dt { "Secret" } dd { (copyable(&added.secret, "the secret")) }
            }
            p.hint { "Your receiver checks the signature of each request with it. Then send it a test." }
            div.actions { a.button href=(room.path(&format!("webhooks/{}", added.id))) { "I have it" } }
        }
    };
    layout::room_page(room, Tab::Webhooks, "A new webhook", &[], &body)
}

/// Where a reload after something was done leads.
fn back(room: &Room, below: &str) -> Response {
    Redirect::to(&room.path(&format!("webhooks{below}"))).into_response()
}
