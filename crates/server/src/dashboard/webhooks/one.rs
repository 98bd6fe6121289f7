//! One webhook: how it is doing, what it was told, and what can be done with it.

use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use domain::webhook::WebhookId;
use http::Uri;
use http::request::Parts;
use maud::{Markup, html};
use store::webhooks::{RequestNumber, RequestState};

use super::{fields, state};
use crate::admin::webhooks::deliveries::{self, Delivery};
use crate::admin::webhooks::{self, Webhook};
use crate::dashboard::components::{badge, copyable, done, moment, pager, with_query};
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{self, Tab};
use crate::dashboard::room::{self, Room};
use crate::http::Api;
use crate::http::extract::query_value;

/// How many deliveries a page has.
const ROWS: usize = 25;

/// The webhook that the path names.
#[derive(Debug)]
pub(in crate::dashboard) struct Named(pub(super) WebhookId);

impl FromRequestParts<Api> for Named {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, PageError> {
        let id = room::named(parts, api, "webhook").await?;
        let id = id.and_then(|id| WebhookId::parse(&id));
        id.map(Self).ok_or(PageError::NotFound("webhook"))
    }
}

/// `GET`, with `state` and `before`.
pub(in crate::dashboard) async fn show(
    State(api): State<Api>,
    room: Room,
    Named(id): Named,
    uri: Uri,
) -> Result<Response, PageError> {
    let query = uri.query();
    let said = match query_value(query, "done").as_deref() {
        Some("changed") => Some("Changed. What waits goes where the webhook points now."),
        Some("enabled") => Some("Enabled. It is told what happens from now on."),
        Some("disabled") => Some("Disabled. It is told nothing, and what waited is given up."),
        Some("replayed") => Some("All that had failed is sent once more."),
        Some("replayed-some") => {
            Some("A thousand of what had failed are sent once more. There are more; repeat it.")
        }
        _ => None,
    };
    page(&api, &room, id, query, said.map(done)).await
}

/// The page, with what was just done or refused.
pub(super) async fn page(
    api: &Api,
    room: &Room,
    id: WebhookId,
    query: Option<&str>,
    said: Option<Markup>,
) -> Result<Response, PageError> {
    let webhook = webhooks::show(api.admin(), room.id(), id).await?;
    let of_state = query_value(query, "state").and_then(|word| RequestState::parse(&word));
    let before = query_value(query, "before").and_then(|text| text.parse().ok());
    let before = before.map(RequestNumber);
    let told = deliveries::list(api.admin(), room.id(), id, of_state, before, ROWS).await?;
    let here = room.path(&format!("webhooks/{id}"));
    let word = of_state.map_or("", RequestState::as_str);
    let first = before.map(|_| with_query(&here, &[("state", word)]));
    let next = told
        .next_cursor
        .as_deref()
        .map(|cursor| with_query(&here, &[("state", word), ("before", cursor)]));
    let body = html! {
        p.crumb { a href=(room.path("webhooks")) { "Webhooks" } }
        div.head {
            div { h1 { "Webhook " (state(&webhook)) } p.break { (webhook.url) } }
            @if room.visitor().may_write() && webhook.disabled_since.is_none() { (button(room, &webhook, "test", "Send a test")) }
        }
        @if let Some(said) = said { (said) }
        (notice(&webhook))
        section.card aria-labelledby="deliveries" {
            h2 id="deliveries" { "Deliveries" }
            (filter(&here, of_state))
            @if told.deliveries.is_empty() {
                p.soft { @if of_state.is_some() { "None in this state." } @else { "It was told nothing yet. Send it a test, or wait for an event that it chose." } }
            } @else {
                (rows(&here, &told.deliveries))
                (pager(first.as_deref(), next.as_deref()))
            }
            @if room.visitor().may_write() && webhook.disabled_since.is_none() && told.deliveries.iter().any(|one| one.state == "failed") {
                div.actions { (button(room, &webhook, "replay-failed", "Replay all that failed")) }
            }
        }
        (facts(&webhook))
        @if room.visitor().may_write() { (edit(room, &webhook)) (deeds(room, &webhook)) }
    };
    Ok(layout::room_page(
        room,
        Tab::Webhooks,
        "Webhook",
        &[],
        &body,
    ))
}

/// What somebody has to know who comes to this page: that it does not work, since when and why.
fn notice(webhook: &Webhook) -> Markup {
    html! {
        @if let Some(since) = &webhook.disabled_since {
            div.note.bad role="status" {
                p { "Disabled since " (moment(since)) @if let Some(why) = &webhook.disabled_reason { ": " (why) } ". It is told nothing. Repair the receiver, enable the webhook, and replay what failed." }
            }
        } @else if let Some(since) = &webhook.full_since {
            div.note.bad role="status" { p { "Too many requests wait, so it is told nothing new since " (moment(since)) "." } }
        } @else if let Some(since) = &webhook.failing_since {
            div.note.bad role="status" { p { "Every request has failed since " (moment(since)) ". If that goes on for days, it is disabled." } }
        }
    }
}

/// A form that is a button.
pub(super) fn button(room: &Room, webhook: &Webhook, deed: &str, text: &str) -> Markup {
    html! {
        form method="post" action=(room.path(&format!("webhooks/{}/{deed}", webhook.id))) data-once="" {
            (room.context().form_token().field())
            button.quiet type="submit" { (text) }
        }
    }
}

fn filter(here: &str, chosen: Option<RequestState>) -> Markup {
    html! {
        form.filter method="get" action=(here) aria-label="Deliveries" {
            div.field {
                label for="state" { "State" }
                select id="state" name="state" {
                    option value="" { "All" }
                    @for known in RequestState::ALL { option value=(known.as_str()) selected[chosen == Some(known)] { (known.as_str()) } }
                }
            }
            button.quiet type="submit" { "Show" }
        }
    }
}

/// Where a delivery is.
pub(super) fn delivery_state(word: &str) -> Markup {
    let class = match word {
        "delivered" => "good",
        "failed" => "bad",
        _ => "live",
    };
    badge(class, word)
}

fn rows(here: &str, told: &[Delivery]) -> Markup {
    html! {
        table.cards {
            thead { tr {
                th scope="col" { "Event" } th scope="col" { "State" } th.num scope="col" { "Tries" } th scope="col" { "Answer" }
                th scope="col" { "Tried last" } th scope="col" { "Next try" }
            } }
            tbody { @for one in told { tr {
                td.wide { a href=(format!("{here}/deliveries/{}", one.id)) { (one.event) span.unseen { " " (one.id) } } }
                td data-label="State" { span { (delivery_state(one.state)) } }
                td.num data-label="Tries" { (one.attempts) }
                td data-label="Answer" { span { (answer(one.status, one.error.as_deref())) } }
                td data-label="Tried last" { @match &one.tried_at { Some(at) => (moment(at)), None => span.soft { "not yet" } } }
                td data-label="Next try" { @match &one.due_at { Some(at) => (moment(at)), None => span.soft { "–" } } }
            } } }
        }
    }
}

/// What a receiver answered, or why it did not.
pub(super) fn answer(status: Option<u16>, error: Option<&str>) -> Markup {
    html! {
        @match (status, error) {
            (Some(status), _) => (status),
            (None, Some(error)) => (error.replace('_', " ")),
            (None, None) => span.soft { "–" },
        }
    }
}

fn facts(webhook: &Webhook) -> Markup {
    html! {
        section.card aria-label="About the webhook" {
            dl.facts {
                dt { "Webhook id" } dd { (copyable(&webhook.id, "the webhook id")) }
                dt { "Signed" } dd { (fields::scheme(webhook.scheme)) }
                dt { "Told of" } dd { @for event in &webhook.events { code { (event) } " " } }
                dt { "Custom data" } dd { code { (webhook.custom_data.get()) } }
                dt { "Added" } dd { (moment(&webhook.created_at)) }
            }
        }
    }
}

fn edit(room: &Room, webhook: &Webhook) -> Markup {
    let events: Vec<String> = webhook
        .events
        .iter()
        .map(|&event| event.to_owned())
        .collect();
    let custom_data = Some(webhook.custom_data.get()).filter(|json| *json != "{}");
    html! {
        details.ask.calm {
            summary { "Change it" }
            form method="post" action=(room.path(&format!("webhooks/{}/change", webhook.id))) autocomplete="off" {
                (room.context().form_token().field())
                (fields::url(&webhook.url))
                (fields::events(&events))
                (fields::custom_data(custom_data.unwrap_or_default()))
                p.hint { "Its id, its secret and how it signs stay. For another secret, add another webhook and remove this one." }
                button type="submit" { "Change it" }
            }
        }
    }
}

fn deeds(room: &Room, webhook: &Webhook) -> Markup {
    html! {
        @if webhook.disabled_since.is_some() {
            div.actions { (button(room, webhook, "enable", "Enable it")) }
        } @else {
            details.ask {
                summary { "Disable it" }
                p { "It is told nothing until it is enabled again, and what waits is given up." }
                (button(room, webhook, "disable", "Disable it"))
            }
        }
        details.ask {
            summary { "Remove it" }
            p { "It is gone with its secret, what waits for it and what it was told." }
            form method="post" action=(room.path(&format!("webhooks/{}/remove", webhook.id))) {
                (room.context().form_token().field())
                button.danger type="submit" { "Remove it" }
            }
        }
    }
}
