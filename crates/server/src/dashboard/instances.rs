//! `/`: the instances that a visitor reaches, and making one.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::instance::{InstanceId, InstanceName, SecretKey};
use maud::{Markup, html};

use super::components::{badge, copyable, empty, wrong};
use super::error::PageError;
use super::form::Form;
use super::layout::{self, Width};
use super::room::Hall;
use crate::admin::instances::{self, Created, Instance, New};
use crate::http::Api;

/// `GET /`
pub(super) async fn list(State(api): State<Api>, hall: Hall) -> Result<Response, PageError> {
    let known = instances::list(api.admin(), hall.visitor().access()).await?;
    let body = html! {
        (layout::head("Instances", "An instance is one app on one stage: its keys, its devices, its publishes, apart from all others."))
        @if known.is_empty() {
            div.card {
                (empty("No instance yet", "Make the first one, and be led to a notification in this browser in a minute.", &html! {}))
            }
        } @else {
            ul.grid.plain { @for instance in &known { li.card { (card(instance)) } } }
        }
        @if hall.visitor().is_full() { (create_form(&hall, "", None)) }
    };
    Ok(layout::page(
        hall.context(),
        "Instances",
        Width::Wide,
        &body,
    ))
}

/// `POST /instances`
pub(super) async fn create(
    State(api): State<Api>,
    hall: Hall,
    form: Form,
) -> Result<Response, PageError> {
    hall.visitor().access().full()?;
    let given = form.raw("name").unwrap_or_default();
    let name = match InstanceName::parse(given) {
        Ok(name) => name,
        Err(error) => {
            let body = html! { (layout::head("A new instance", "")) (create_form(&hall, given, Some(&sentence(&error)))) };
            let mut response = layout::page(hall.context(), "A new instance", Width::Wide, &body);
            *response.status_mut() = http::StatusCode::UNPROCESSABLE_ENTITY;
            return Ok(response);
        }
    };
    let new = New {
        id: InstanceId::random(),
        name,
        secret_key: SecretKey::random(),
    };
    let created = instances::create(api.admin(), hall.visitor().actor(), new).await?;
    Ok(layout::page(
        hall.context(),
        "Created",
        Width::Wide,
        &shown_once(&created),
    ))
}

/// `GET /instances`: where a reload after making one leads.
pub(super) async fn again() -> Response {
    Redirect::to("/").into_response()
}

/// An error of the domain as a sentence.
pub(super) fn sentence(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first: String = letters
        .next()
        .map(|first| first.to_uppercase().collect())
        .unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

fn card(instance: &Instance) -> Markup {
    let broken = instance
        .credentials
        .iter()
        .filter(|credential| credential.broken_since.is_some())
        .count();
    html! {
        h2 { a.break href=(format!("/i/{}", instance.id)) { bdi { (instance.name) } } }
        p.soft.small.mono.break { (instance.id) }
        p {
            @if broken > 0 { (badge("bad", "credential refused")) " " }
            @for credential in &instance.credentials { @if credential.broken_since.is_none() { (badge("good", credential.platform)) " " } }
            (badge("good", "web"))
        }
    }
}

fn create_form(hall: &Hall, given: &str, why: Option<&str>) -> Markup {
    html! {
        section.card aria-labelledby="create" {
            h2 id="create" { "A new instance" }
            @if let Some(why) = why { (wrong(why)) }
            form method="post" action="/instances" {
                (hall.context().form_token().field())
                div.field {
                    label for="name" { "Name" }
                    input id="name" name="name" value=(given) required maxlength="100" autocomplete="off" dir="auto" aria-describedby="name-hint";
                    p.hint id="name-hint" { "What people call it, such as “shop” or “shop, staging”." }
                }
                button type="submit" { "Create instance" }
            }
        }
    }
}

fn shown_once(created: &Created) -> Markup {
    html! {
        (layout::head(&created.name, "It is ready. Keep the secret key now: it is shown this once."))
        div.card {
            dl.facts {
                dt { "Instance id" } dd { (copyable(&created.id, "the instance id")) }
                dt { "Secret key" } dd { (copyable(&created.secret_key, "the secret key")) }
            }
            p.hint { "The secret key belongs in your backend, never in an app. More keys can be made in the settings." }
            div.actions {
                a.button href=(format!("/i/{}/start", created.id)) { "On to the first notification" }
                a.button.quiet href=(format!("/i/{}", created.id)) { "To the overview" }
            }
        }
    }
}
