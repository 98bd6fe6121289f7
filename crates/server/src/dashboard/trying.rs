//! `/try`: makes the visitor's browser a device of an instance.
//!
//! The page's script and worker speak to the device and reporting APIs as the web SDK does. Only two things come from here:
//! a Beams token, as a backend would sign it for somebody it has logged in, and a notification to send.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::instance::InstanceId;
use domain::publish::{AudienceKind, PublishRequest};
use domain::user::UserId;
use http::Uri;
use maud::{Markup, html};
use serde_json::json;

use super::components::{empty, mark};
use super::error::PageError;
use super::form::Form;
use super::instances::sentence;
use super::layout::{self, Width};
use super::posted::Posted;
use super::room::{Hall, Room};
use crate::admin::{instances, publishes, users};
use crate::http::extract::{json as answer, query_value};
use crate::http::{Api, admit_publish};

/// `GET /try`, with `instance` to begin with.
pub(super) async fn show(
    State(api): State<Api>,
    hall: Hall,
    uri: Uri,
) -> Result<Response, PageError> {
    let known = instances::list(api.admin(), hall.visitor().access()).await?;
    let wanted = query_value(uri.query(), "instance");
    if let Some(id) = wanted.as_deref().and_then(|id| InstanceId::parse(id).ok()) {
        let room = Room::enter(hall, &api, id).await?;
        return Ok(layout::page_with(
            room.context(),
            "Try it",
            Width::Wide,
            &["try.js"],
            &body(&room),
        ));
    }
    if let [only] = known.as_slice() {
        return Ok(Redirect::to(&format!("/try?instance={}", only.id)).into_response());
    }
    let body = html! {
        (layout::head("Try it", "Of which instance shall this browser be a device?"))
        div.card {
            @if known.is_empty() {
                (empty("No instance yet", "Make one first.", &html! { a.button href="/" { "To the instances" } }))
            } @else {
                ul { @for instance in &known { li { a href=(format!("/try?instance={}", instance.id)) { bdi { (instance.name) } } } } }
            }
        }
    };
    Ok(layout::page(hall.context(), "Try it", Width::Wide, &body))
}

/// `POST /i/{instance}/try/token`: a Beams token for a user, as JSON.
pub(super) async fn token(
    State(api): State<Api>,
    Posted { room, form }: Posted,
) -> Result<Response, PageError> {
    let user = user(&form)?;
    let token = users::beams_token(api.admin(), room.actor(), room.id(), user).await?;
    Ok(answer(&json!({"token": token})))
}

/// `POST /i/{instance}/try/send`: a notification to the user, or to the interest, that the form names.
pub(super) async fn send(
    State(api): State<Api>,
    Posted { room, form }: Posted,
) -> Result<Response, PageError> {
    let (kind, name) = match form.get("interest") {
        Some(interest) => (AudienceKind::Interests, interest.to_owned()),
        None => (AudienceKind::Users, user(&form)?.as_str().to_owned()),
    };
    let title = form.get("title").unwrap_or("Hello from Heliostat");
    let text = form.get("text").unwrap_or("The beam is on its target.");
    let link = format!("{}/try?instance={}", api.shared.public_url, room.id());
    let mut body =
        json!({"web": {"notification": {"title": title, "body": text, "deep_link": link}}});
    body[kind.as_str()] = json!([name]);
    let request = PublishRequest::parse(kind, body.to_string().as_bytes())
        .map_err(|error| PageError::Input(sentence(&error)))?;
    admit_publish(&api, room.id())?;
    let id = publishes::publish(api.admin(), room.actor(), room.id(), request).await?;
    Ok(answer(&json!({"publishId": id.to_string()})))
}

fn user(form: &Form) -> Result<UserId, PageError> {
    UserId::parse(form.required("user", "The user")?)
        .map_err(|error| PageError::Input(sentence(&error)))
}

fn body(room: &Room) -> Markup {
    let id = room.id();
    html! {
        p.crumb { a href=(room.base()) { bdi { (room.instance().name().as_str()) } } }
        (layout::head("Make this browser a device", "It registers, is bound to a user, and receives, exactly as your web app would."))
        div.note.no-js { p { "This page needs JavaScript: it is the browser that becomes the device." } }
        div.js-block data-try="" data-instance=(id) data-token=(room.path("try/token")) data-send=(room.path("try/send")) data-form-token=(room.context().form_token().as_str()) {
            div.grid.even {
                section.card aria-labelledby="device" {
                    h2 id="device" { "This browser" }
                    ul.ticks {
                        li data-step="registered" { span.tick aria-hidden="true" { "✓" } span { strong { "Registered" } br; span.soft.small data-says="registered" { "not yet" } } }
                        li data-step="bound" { span.tick aria-hidden="true" { "✓" } span { strong { "Bound to a user" } br; span.soft.small data-says="bound" { "not yet" } } }
                        li data-step="received" { span.tick aria-hidden="true" { "✓" } span { strong { "Received" } br; span.soft.small data-says="received" { "not yet" } } }
                        li data-step="opened" { span.tick aria-hidden="true" { "✓" } span { strong { "Opened" } br; span.soft.small data-says="opened" { "click the notification" } } }
                    }
                    p.note.bad role="alert" hidden data-trouble="" {}
                    p role="status" aria-live="polite" data-status="" {}
                }
                section.card aria-labelledby="way" {
                    h2 id="way" { "In three clicks" }
                    form data-act="register" {
                        div.field {
                            label for="user" { "User to be" }
                            input id="user" name="user" value="alice" maxlength="164" required dir="auto" autocomplete="off" spellcheck="false";
                        }
                        div.field {
                            label for="interest" { "And an interest, if you like" }
                            input id="interest" name="interest" value="hello" autocomplete="off" spellcheck="false";
                        }
                        button type="submit" disabled[!room.visitor().may_write()] { "Make this browser a device" }
                    }
                    form.actions data-act="send" {
                        input type="hidden" name="title" value="Hello from Heliostat";
                        button.quiet type="submit" disabled { "Send me a notification" }
                        button.quiet type="button" data-act="stop" disabled { "Be no device any more" }
                    }
                    @if !room.visitor().may_write() { p.hint { "Your admin token may read only; this takes one that may write." } }
                }
            }
            section.card aria-labelledby="seen" {
                h2 id="seen" { "What arrived" }
                ul.live-list aria-live="polite" data-arrived="" {}
                div.empty data-nothing="" { p { "Nothing yet. A notification also shows here, besides where the system shows it." } }
            }
        }
        template data-template="arrived" { li { time {} span.badge.live data-field="kind" {} span.what { strong dir="auto" data-field="title" {} " " span dir="auto" data-field="text" {} span.tags.mono data-field="publish" {} } } }
        span.unseen aria-hidden="true" { (mark()) }
    }
}
