//! `/i/{instance}/compose`: a notification from its first word to its way, with a preview, and a dry run first.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::device::Platform;
use domain::idempotency::{Fingerprint, Idempotency, IdempotencyKey};
use domain::publish::{AudienceKind, PublishRequest};
use http::{StatusCode, Uri};
use maud::{Markup, html};
use serde_json::{Map, Value, json};
use store::lookup::AudienceCount;
use uuid::Uuid;

use super::components::{self, mark, number, wrong};
use super::error::PageError;
use super::form::Form;
use super::instances::sentence;
use super::layout::{self, Tab};
use super::posted::Posted;
use super::room::Room;
use crate::admin::publishes;
use crate::http::extract::query_value;
use crate::http::{Api, admit_publish};

/// The most users or interests that one publish names here: as many as Beams allows interests.
const NAMES_MAX: usize = 100;

/// What somebody wrote.
#[derive(Debug, Clone, Default)]
struct Draft {
    to_users: bool,
    names: String,
    title: String,
    text: String,
    link: String,
    icon: String,
    data: String,
    platforms: Vec<Platform>,
    /// As the field of a form has it: UTC, to the minute; empty for at once.
    send_at: String,
    /// The same; empty for never.
    expires_at: String,
}

impl Draft {
    fn empty(query: Option<&str>) -> Self {
        let user = query_value(query, "user");
        let interest = query_value(query, "interest");
        Self {
            to_users: interest.is_none(),
            names: user.or(interest).unwrap_or_default(),
            platforms: Platform::ALL.to_vec(),
            ..Self::default()
        }
    }

    fn of(form: &Form) -> Self {
        let text = |name| form.raw(name).unwrap_or_default().replace("\r\n", "\n");
        Self {
            to_users: form.get("audience") != Some("interests"),
            names: text("names"),
            title: text("title"),
            text: text("text"),
            link: form.get("link").unwrap_or_default().to_owned(),
            icon: form.get("icon").unwrap_or_default().to_owned(),
            data: text("data"),
            platforms: form.all("platform").filter_map(Platform::parse).collect(),
            send_at: form.get("send_at").unwrap_or_default().to_owned(),
            expires_at: form.get("expires_at").unwrap_or_default().to_owned(),
        }
    }

    const fn kind(&self) -> AudienceKind {
        if self.to_users {
            AudienceKind::Users
        } else {
            AudienceKind::Interests
        }
    }

    /// Users and interests stand one in a line: a user's id may have any character but that one here.
    fn names(&self) -> Vec<&str> {
        self.names
            .lines()
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect()
    }

    /// The body that the publish API would be sent.
    fn body(&self) -> Result<Value, String> {
        let names = self.names();
        if names.is_empty() {
            return Err("Say whom it is for.".to_owned());
        }
        if names.len() > NAMES_MAX {
            return Err(format!(
                "Name at most {NAMES_MAX} here; more go through the publish API."
            ));
        }
        let data = match self.data.trim() {
            "" => None,
            text => match serde_json::from_str::<Value>(text) {
                Ok(Value::Object(data)) => Some(data),
                _ => {
                    return Err(
                        "The data must be a JSON object, such as {\"order\": \"42\"}.".to_owned(),
                    );
                }
            },
        };
        let mut body = Map::new();
        body.insert(self.kind().as_str().to_owned(), json!(names));
        for platform in &self.platforms {
            let mut part = self.part(*platform);
            if let Some(data) = &data {
                part["data"] = Value::Object(data.clone());
            }
            body.insert(platform.as_str().to_owned(), part);
        }
        for (name, typed) in [("sendAt", &self.send_at), ("expiresAt", &self.expires_at)] {
            if !typed.is_empty() {
                body.insert(name.to_owned(), json!(utc(typed)));
            }
        }
        Ok(Value::Object(body))
    }

    fn part(&self, platform: Platform) -> Value {
        let mut note = json!({"title": self.title, "body": self.text});
        match platform {
            Platform::Apns => json!({"aps": {"alert": note, "sound": "default"}}),
            Platform::Fcm => json!({"notification": note}),
            Platform::Web => {
                for (name, value) in [("deep_link", &self.link), ("icon", &self.icon)] {
                    if !value.is_empty() {
                        note[name] = json!(value);
                    }
                }
                json!({"notification": note})
            }
        }
    }
}

/// What a field for a time has, which says no zone and may say no seconds, as RFC 3339 has it.
fn utc(typed: &str) -> String {
    match typed.len() {
        16 => format!("{typed}:00Z"),
        _ => format!("{typed}Z"),
    }
}

/// What a dry run found.
struct Checked {
    count: AudienceCount,
    body: String,
    /// What makes a second click send nothing more.
    once: Uuid,
}

/// `GET`, with `user` or `interest` to begin with.
pub(super) async fn show(room: Room, uri: Uri) -> Response {
    page(&room, &Draft::empty(uri.query()), None, None)
}

/// `POST`: a dry run, or with `step=send` the publish.
pub(super) async fn submit(
    State(api): State<Api>,
    Posted { room, form }: Posted,
) -> Result<Response, PageError> {
    let draft = Draft::of(&form);
    let refuse = |why: &str| {
        let mut response = page(&room, &draft, Some(why), None);
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        Ok(response)
    };
    if draft.title.trim().is_empty() && draft.text.trim().is_empty() {
        return refuse("Write a title or a text.");
    }
    let body = match draft.body() {
        Ok(body) => body,
        Err(why) => return refuse(&why),
    };
    let request = match PublishRequest::parse(draft.kind(), body.to_string().as_bytes()) {
        Ok(request) => request,
        Err(error) => return refuse(&sentence(&error)),
    };
    if let Err(error) = request.check_times(api.now()) {
        return refuse(&sentence(&error));
    }
    if form.get("step") == Some("send") {
        admit_publish(&api, room.id())?;
        let once = once(&form, &draft, &body);
        let is_later = request.send_at.is_some_and(|at| at > api.now());
        let sent = publishes::publish_once(api.admin(), room.actor(), room.id(), request, once);
        let id = sent.await?;
        let done = if is_later { "scheduled" } else { "sent" };
        let next = room.path(&format!("publishes/{id}?done={done}"));
        return Ok(Redirect::to(&next).into_response());
    }
    let platforms = request.payloads.platforms().collect();
    let count = api
        .store()
        .count_audience(room.id(), request.audience, platforms)
        .await?;
    let body = serde_json::to_string_pretty(&body).unwrap_or_default();
    Ok(page(
        &room,
        &draft,
        None,
        Some(&Checked {
            count,
            body,
            once: Uuid::new_v4(),
        }),
    ))
}

/// The key under which a checked draft is sent, however often its button is pressed.
fn once(form: &Form, draft: &Draft, body: &Value) -> Option<Idempotency> {
    let key = Uuid::try_parse(form.get("once")?).ok()?;
    let key = format!("compose-{}", key.as_hyphenated());
    Some(Idempotency {
        key: IdempotencyKey::parse(key.as_bytes()).ok()?,
        fingerprint: Fingerprint::of(draft.kind().as_str(), body.to_string().as_bytes()),
    })
}

fn page(room: &Room, draft: &Draft, why: Option<&str>, checked: Option<&Checked>) -> Response {
    let body = html! {
        (layout::head("Compose", "Write it, see it, count whom it would reach, and only then send it."))
        @if let Some(why) = why { (wrong(why)) }
        @if let Some(checked) = checked { (confirm(room, draft, checked)) }
        div.split {
            form.card method="post" action=(room.path("compose")) data-compose="" {
                (room.context().form_token().field())
                (audience(draft))
                (words(draft))
                button type="submit" disabled[!room.visitor().may_write()] { "Check" }
                p.hint { @if room.visitor().may_write() { "A dry run: it counts devices and sends nothing." } @else { "Your admin token may read only." } }
            }
            (previews(room, draft))
        }
    };
    layout::room_page(room, Tab::Compose, "Compose", &["compose.js"], &body)
}

fn audience(draft: &Draft) -> Markup {
    html! {
        fieldset {
            legend { "For" }
            label.choice { input type="radio" name="audience" value="users" checked[draft.to_users]; "users, privately, on all their devices" }
            label.choice { input type="radio" name="audience" value="interests" checked[!draft.to_users]; "devices with an interest" }
        }
        div.field {
            label for="names" { "Which" }
            textarea id="names" name="names" rows="2" required dir="auto" spellcheck="false" autocapitalize="none" aria-describedby="names-hint" { "\n" (draft.names) }
            p.hint id="names-hint" { "One in a line, up to " (NAMES_MAX) "." }
        }
    }
}

fn words(draft: &Draft) -> Markup {
    html! {
        div.field { label for="title" { "Title" } input id="title" name="title" value=(draft.title) dir="auto" autocomplete="off" data-preview="title"; }
        div.field { label for="text" { "Text" } textarea id="text" name="text" rows="3" dir="auto" data-preview="text" { "\n" (draft.text) } }
        div.row {
            div.field { label for="link" { "Link to open (web)" } input id="link" name="link" type="url" value=(draft.link) placeholder="https://" autocomplete="off"; }
            div.field { label for="icon" { "Icon (web)" } input id="icon" name="icon" type="url" value=(draft.icon) placeholder="https://" autocomplete="off"; }
        }
        fieldset {
            legend { "On" }
            @for platform in Platform::ALL {
                label.choice { input type="checkbox" name="platform" value=(platform) checked[draft.platforms.contains(&platform)] data-preview-platform=(platform); (components::platform(platform)) }
            }
        }
        details open[!draft.send_at.is_empty() || !draft.expires_at.is_empty()] {
            summary { "Deliver later" }
            div.row {
                div.field { label for="send-at" { "Send at (UTC)" } input id="send-at" name="send_at" type="datetime-local" value=(draft.send_at); }
                div.field { label for="expires-at" { "Not after (UTC)" } input id="expires-at" name="expires_at" type="datetime-local" value=(draft.expires_at); }
            }
            p.hint { "Left empty: at once, and as long as the gateways keep it. Whom it reaches is decided when it is sent." }
        }
        details open[!draft.data.trim().is_empty()] {
            summary { "Data for the app" }
            div.field { label for="data" { "A JSON object" } textarea.code id="data" name="data" rows="3" spellcheck="false" { "\n" (draft.data) } }
        }
    }
}

fn previews(room: &Room, draft: &Draft) -> Markup {
    let name = room.instance().name().as_str();
    html! {
        aside.previews aria-label="Preview" {
            @for (platform, class) in [(Platform::Apns, "bubble ios"), (Platform::Fcm, "bubble android"), (Platform::Web, "bubble web")] {
                div.preview.off[!draft.platforms.contains(&platform)] data-preview-of=(platform) {
                    h2 { (components::platform(platform)) }
                    div class=(class) dir="auto" {
                        span.from { bdi { (name) } " · now" }
                        span.icon { (mark()) }
                        strong data-shows="title" { @if draft.title.is_empty() { "Title" } @else { (draft.title) } }
                        span data-shows="text" { @if draft.text.is_empty() { "What it says" } @else { (draft.text) } }
                    }
                }
            }
        }
    }
}

fn confirm(room: &Room, draft: &Draft, checked: &Checked) -> Markup {
    let all: u64 = draft
        .platforms
        .iter()
        .map(|platform| checked.count.devices(*platform))
        .sum();
    html! {
        section.card aria-labelledby="confirm" data-scroll-here="" {
            h2 id="confirm" tabindex="-1" {
                @if all == 0 { "It would reach nobody now" } @else { "It would reach " (number(all)) @if all == 1 { " device" } @else { " devices" } }
            }
            dl.facts {
                @for platform in &draft.platforms { dt { (components::platform(*platform)) } dd { (number(checked.count.devices(*platform))) } }
                @if draft.to_users { dt { "Users with a device" } dd { (number(checked.count.users)) " of " (draft.names().len()) } }
            }
            details { summary { "As the publish API takes it" } (components::code(&checked.body, "the body of the request")) }
            div.actions {
                form method="post" action=(room.path("compose")) data-once="" {
                    (room.context().form_token().field())
                    (hidden(draft))
                    input type="hidden" name="once" value=(checked.once);
                    button type="submit" { @if draft.send_at.is_empty() { "Send it now" } @else { "Send it at " (draft.send_at.replace('T', " ")) " UTC" } }
                }
                span.soft.small { "or change it below and check again" }
            }
        }
    }
}

fn hidden(draft: &Draft) -> Markup {
    let fields = [
        ("step", "send"),
        ("audience", draft.kind().as_str()),
        ("names", &draft.names),
        ("title", &draft.title),
        ("text", &draft.text),
        ("link", &draft.link),
        ("icon", &draft.icon),
        ("data", &draft.data),
        ("send_at", &draft.send_at),
        ("expires_at", &draft.expires_at),
    ];
    html! {
        @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
        @for platform in &draft.platforms { input type="hidden" name="platform" value=(platform); }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft {
            to_users: true,
            names: "alice\r\n\n بوب \n".to_owned(),
            title: "Hi".to_owned(),
            platforms: vec![Platform::Web],
            ..Draft::default()
        }
    }

    #[test]
    fn a_draft_is_what_the_publish_api_takes() {
        let body = Draft {
            link: "https://a.example".to_owned(),
            data: "{\"n\":1}".to_owned(),
            ..draft()
        }
        .body()
        .unwrap();
        assert_eq!(body["users"], json!(["alice", "بوب"]));
        assert_eq!(
            body["web"],
            json!({"notification": {"title": "Hi", "body": "", "deep_link": "https://a.example"}, "data": {"n": 1}})
        );
        assert!(PublishRequest::parse(AudienceKind::Users, body.to_string().as_bytes()).is_ok());
    }

    #[test]
    fn what_cannot_be_sent_is_said() {
        assert!(
            Draft {
                names: " \n".to_owned(),
                ..draft()
            }
            .body()
            .is_err()
        );
        assert!(
            Draft {
                data: "[1]".to_owned(),
                ..draft()
            }
            .body()
            .is_err()
        );
        assert!(
            Draft {
                names: "a\n".repeat(NAMES_MAX + 1),
                ..draft()
            }
            .body()
            .is_err()
        );
    }
}
