//! One delivery to a webhook: its attempts, what it carries, and sending it once more.

use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use domain::webhook::WebhookId;
use http::Uri;
use http::request::Parts;
use maud::{Markup, html};
use uuid::Uuid;

use super::one::{self, answer, delivery_state};
use crate::admin::webhooks::deliveries::{self, Attempt, Delivery};
use crate::admin::webhooks::{self, Webhook};
use crate::dashboard::components::{code, copyable, done, moment};
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{self, Tab};
use crate::dashboard::room::{self, Room};
use crate::http::Api;
use crate::http::extract::query_value;

/// The webhook and the delivery that the path names.
#[derive(Debug)]
pub(in crate::dashboard) struct Named(pub(super) WebhookId, pub(super) Uuid);

impl FromRequestParts<Api> for Named {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, PageError> {
        let one::Named(webhook) = one::Named::from_request_parts(parts, api).await?;
        let id = room::named(parts, api, "delivery").await?;
        let id = id.and_then(|id| Uuid::try_parse(&id).ok());
        let id = id.ok_or(PageError::NotFound("delivery"))?;
        Ok(Self(webhook, id))
    }
}

/// `GET`
pub(in crate::dashboard) async fn show(
    State(api): State<Api>,
    room: Room,
    Named(whose, id): Named,
    uri: Uri,
) -> Result<Response, PageError> {
    let webhook = webhooks::show(api.admin(), room.id(), whose).await?;
    let told = deliveries::one(api.admin(), room.id(), whose, id).await?;
    let waits = told.state == "waiting";
    let said = match query_value(uri.query(), "done").as_deref() {
        Some("tested" | "replayed") if waits && told.attempts == 0 => {
            Some("It is on its way. Reload the page to see what the receiver answers.")
        }
        Some("tested") => Some("The test was sent."),
        Some("replayed") => Some("It was sent once more, with the same id."),
        _ => None,
    };
    let here = room.path(&format!("webhooks/{}", webhook.id));
    let body = html! {
        p.crumb { a href=(room.path("webhooks")) { "Webhooks" } " / " a.break href=(here) { (webhook.url) } }
        div.head { div { h1 { (told.event) " " (delivery_state(told.state)) } p { (copyable(&told.id, "the delivery id")) } } }
        @if let Some(said) = said { (done(said)) }
        div.grid.even {
            section.card aria-labelledby="attempts" { h2 id="attempts" { "Attempts" } (attempts(&told.tries)) }
            (facts(&told))
        }
        section.card aria-labelledby="payload" {
            h2 id="payload" { "What it carries" }
            @match &told.payload {
                Some(payload) => (code(&indented(payload.get()), "the payload")),
                None => p.soft { "It is put together when it is first sent." },
            }
        }
        @if room.visitor().may_write() && (!waits || told.attempts > 0) { (again(&room, &webhook, &here, &told)) }
    };
    Ok(layout::room_page(
        &room,
        Tab::Webhooks,
        "Delivery",
        &[],
        &body,
    ))
}

fn facts(told: &Delivery) -> Markup {
    html! {
        section.card aria-label="About the delivery" {
            dl.facts {
                dt { "Put together" } dd { @match &told.created_at { Some(at) => (moment(at)), None => "not yet" } }
                @if let Some(at) = &told.due_at { dt { "Next attempt" } dd { (moment(at)) } }
                dt { "Event id" } dd.mono { (told.event_id) }
                dt { "Attempts" } dd { (told.attempts) " since it was queued or replayed" }
            }
        }
    }
}

fn attempts(tries: &[Attempt]) -> Markup {
    html! {
        @if tries.is_empty() {
            p.soft { "None yet." }
        } @else {
            table.cards {
                thead { tr { th scope="col" { "When" } th scope="col" { "Answer" } th scope="col" { "Why it failed" } } }
                tbody { @for tried in tries.iter().rev() { tr {
                    td data-label="When" { (moment(&tried.at)) }
                    td data-label="Answer" { span { (answer(tried.status, None)) } }
                    td data-label="Why it failed" { @match &tried.error { Some(error) => code { (error) }, None => span.soft { "taken" } } }
                } } }
            }
        }
    }
}

fn again(room: &Room, webhook: &Webhook, here: &str, told: &Delivery) -> Markup {
    html! {
        @if webhook.disabled_since.is_some() {
            p.soft { "The webhook is disabled. " a href=(here) { "Enable it" } " to send this once more." }
        } @else {
            form.actions method="post" action=(format!("{here}/deliveries/{}/replay", told.id)) data-once="" {
                (room.context().form_token().field())
                button type="submit" { "Send it once more" }
            }
        }
    }
}

/// JSON with a line for each field, in the order it has.
fn indented(json: &str) -> String {
    let (mut out, mut depth, mut quoted, mut escaped) = (String::new(), 0_usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    let mut letters = json.chars().peekable();
    while let Some(letter) = letters.next() {
        if quoted {
            out.push(letter);
            quoted = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
            continue;
        }
        match letter {
            '{' | '[' => {
                out.push(letter);
                if letters
                    .peek()
                    .is_some_and(|next| !matches!(next, '}' | ']'))
                {
                    depth += 1;
                    line(&mut out, depth);
                } else if let Some(close) = letters.next() {
                    out.push(close);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(letter);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            letter if letter.is_whitespace() => {}
            letter => {
                quoted = letter == '"';
                out.push(letter);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_stays_the_same() {
        let json = r#"{"b":{"x":[]},"a":["1,\"{","\\",{"n":1.50}],"e":{}}"#;
        let shown = indented(json);
        let expected = concat!(
            "{\n  \"b\": {\n    \"x\": []\n  },\n  \"a\": [\n    \"1,\\\"{\",\n    \"\\\\\",\n    {\n      \"n\": 1.50\n",
            "    }\n  ],\n  \"e\": {}\n}"
        );
        assert_eq!(shown, expected);
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&shown), read(json));
    }
}
