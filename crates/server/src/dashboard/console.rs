//! `/i/{instance}/console`: what happens, as it happens.
//!
//! A page of the trail for everybody, and server-sent events (WHATWG HTML section 9.2) for the script that goes on from there.
//! The id of an event is its place in the trail, so a browser that lost the connection goes on where it was, on any node.
//! While a console is open, its instance is watched, which is when the trail is written at all.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use bytes::Bytes;
use domain::device::DeviceId;
use domain::instance::InstanceId;
use domain::publish::PublishId;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Uri, header};
use maud::{Markup, html};
use serde_json::json;
use store::console::{Trace, TraceKind, TraceNumber};

use super::access::{self, Visitor};
use super::components::{badge, done, with_query};
use super::error::PageError;
use super::layout::{self, Tab};
use super::posted::Posted;
use super::room::Room;
use crate::admin::instances;
use crate::http::Api;
use crate::http::extract::query_value;

/// How many traces the page begins with.
const SHOWN: usize = 100;
/// How many are read at once.
const READ_AT_ONCE: usize = 200;
/// How often a stream looks for more.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// For how long one look counts as watching; after how many looks that is said again, and the visitor's token checked.
const WATCH_FOR: Duration = Duration::from_secs(30);
const WATCH_AGAIN_AFTER: u32 = 25;
/// After how many looks without news a comment keeps proxies from closing the stream.
const COMMENT_AFTER: u32 = 37;
/// How long a stream lasts at most; the browser opens another, and shows its session again.
const LOOKS_MAX: u32 = 1500;

/// What somebody wants to see.
#[derive(Debug, Clone, Default)]
struct Filter {
    user: String,
    device: String,
    publish: String,
    interest: String,
}

impl Filter {
    fn of(query: Option<&str>) -> Self {
        let value = |name| {
            query_value(query, name)
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        Self {
            user: value("user"),
            device: value("device"),
            publish: value("publish"),
            interest: value("interest"),
        }
    }

    fn pairs(&self) -> [(&str, &str); 4] {
        [
            ("user", &self.user),
            ("device", &self.device),
            ("publish", &self.publish),
            ("interest", &self.interest),
        ]
    }

    fn admits(&self, trace: &Trace) -> bool {
        let fits =
            |wanted: &str, is: Option<String>| wanted.is_empty() || is.as_deref() == Some(wanted);
        fits(
            &self.user,
            trace.user.as_ref().map(|user| user.as_str().to_owned()),
        ) && fits(
            &self.device,
            trace.device.map(|device: DeviceId| device.to_string()),
        ) && fits(
            &self.publish,
            trace.publish.map(|publish: PublishId| publish.to_string()),
        ) && (self.interest.is_empty()
            || trace
                .interests
                .iter()
                .any(|name| name.as_str() == self.interest))
    }
}

/// `GET`, with `user`, `device`, `publish` and `interest`.
pub(super) async fn show(
    State(api): State<Api>,
    room: Room,
    uri: Uri,
) -> Result<Response, PageError> {
    let filter = Filter::of(uri.query());
    api.store()
        .watch_trail(room.id(), api.now().after(WATCH_FOR))
        .await?;
    let mut trail = api.store().trail(room.id(), None, SHOWN).await?;
    let last = trail
        .last()
        .map_or(TraceNumber::default(), |(number, _)| *number);
    trail.retain(|(_, trace)| filter.admits(trace));
    let shows_payloads = api.store().shows_payloads(room.id()).await?;
    let said = query_value(uri.query(), "done").is_some_and(|word| word == "payloads");
    let body = html! {
        (layout::head("Debug console", "From registration to open, as it happens. Kept for an hour, written only while somebody watches."))
        @if said { (done(if shows_payloads { "Payloads are shown from now on." } else { "Payloads are hidden from now on." })) }
        (filter_form(&room, &filter))
        section.card aria-labelledby="live" {
            h2 id="live" { span.pulse data-pulse="" aria-hidden="true" {} "Live" }
            p.small.soft role="status" data-live-state="" { "Reload the page to see what is new." }
            ul.live-list data-events=(with_query(&room.path("console/events"), &filter.pairs())) data-after=(last.0) data-base=(room.base()) {
                @for (_, trace) in trail.iter().rev() { (line(&room, trace)) }
            }
            @if trail.is_empty() { div.empty data-nothing="" { p { "Nothing yet. Open an app, or " a href=(format!("/try?instance={}", room.id())) { "make this browser a device" } ", and it appears here." } } }
        }
        (payload_form(&room, shows_payloads))
    };
    Ok(layout::room_page(
        &room,
        Tab::Console,
        "Debug console",
        &["console.js"],
        &body,
    ))
}

fn filter_form(room: &Room, filter: &Filter) -> Markup {
    let labels = ["User", "Device", "Publish", "Interest"];
    html! {
        form.filter.lines method="get" action=(room.path("console")) role="search" aria-label="Console" {
            @for ((name, value), label) in filter.pairs().into_iter().zip(labels) {
                div.field {
                    label for=(format!("by-{name}")) { (label) }
                    input id=(format!("by-{name}")) name=(name) type="search" value=(value) dir="auto" autocomplete="off" spellcheck="false";
                }
            }
            button.quiet type="submit" { "Filter" }
        }
    }
}

fn payload_form(room: &Room, shows: bool) -> Markup {
    html! {
        @if room.visitor().may_write() {
            details.ask.calm {
                summary { @if shows { "Hide payloads again" } @else { "Show payloads of publishes" } }
                p { "Payloads may have personal data. Secrets, gateway tokens and Beams tokens are never shown." }
                form method="post" action=(room.path("console/payloads")) {
                    (room.context().form_token().field())
                    input type="hidden" name="show" value=(if shows { "no" } else { "yes" });
                    button.quiet type="submit" { @if shows { "Hide them" } @else { "Show them, for everybody who may see this instance" } }
                }
            }
        }
    }
}

/// `POST …/console/payloads`
pub(super) async fn payloads(
    State(api): State<Api>,
    Posted { room, form }: Posted,
) -> Result<Response, PageError> {
    let shows = form.get("show") == Some("yes");
    instances::show_payloads(api.admin(), room.actor(), room.id(), shows).await?;
    Ok(Redirect::to(&room.path("console?done=payloads")).into_response())
}

fn class(kind: TraceKind) -> &'static str {
    match kind {
        TraceKind::Registered | TraceKind::Bound | TraceKind::Unbound | TraceKind::Subscribed => {
            "sky"
        }
        TraceKind::Published | TraceKind::Accepted => "live",
        TraceKind::Delivered | TraceKind::Opened => "good",
        TraceKind::Failed | TraceKind::Removed => "bad",
        TraceKind::Retried | TraceKind::Cancelled | TraceKind::Skipped => "",
    }
}

/// What happened, in words.
const fn words(kind: TraceKind) -> &'static str {
    match kind {
        TraceKind::Registered => "Device registered",
        TraceKind::Removed => "Device removed",
        TraceKind::Bound => "Device bound to a user",
        TraceKind::Unbound => "Device taken from its user",
        TraceKind::Subscribed => "Interests",
        TraceKind::Published => "Publish accepted",
        TraceKind::Cancelled => "Publish cancelled",
        TraceKind::Accepted => "Gateway took it",
        TraceKind::Retried => "Attempt failed, to be repeated",
        TraceKind::Failed => "Delivery failed",
        TraceKind::Delivered => "Device has it",
        TraceKind::Opened => "Opened",
        TraceKind::Skipped => "Not all is shown",
    }
}

fn line(room: &Room, trace: &Trace) -> Markup {
    let at = trace.at.to_string();
    html! {
        li {
            time datetime=(at) data-clock="" { (at.get(11..19).unwrap_or(&at)) }
            span { (badge(class(trace.kind), trace.kind.as_str())) }
            div.what {
                span dir="auto" { (words(trace.kind)) @if !trace.detail.is_empty() { ": " (trace.detail) } }
                span.tags {
                    @if let Some(user) = &trace.user { "user " a href=(with_query(&room.path("people"), &[("user", user.as_str())])) { bdi { (user.as_str()) } } " " }
                    @if let Some(device) = trace.device { a.mono href=(with_query(&room.path("people"), &[("device", &device.to_string())])) { (device) } " " }
                    @if let Some(publish) = trace.publish { a.mono href=(room.path(&format!("publishes/{publish}"))) { (publish) } " " }
                    @for interest in &trace.interests { code { (interest) } " " }
                }
            }
        }
    }
}

/// `GET …/console/events`: the trail behind `Last-Event-ID`, or `after`, and all that comes.
pub(super) async fn events(
    State(api): State<Api>,
    room: Room,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok().map(str::to_owned));
    let after = last.or_else(|| query_value(uri.query(), "after"));
    let follower = Follower {
        api,
        instance: room.id(),
        visitor: room.visitor().clone(),
        filter: Filter::of(uri.query()),
        after: TraceNumber(
            after
                .and_then(|number| number.parse().ok())
                .unwrap_or_default(),
        ),
        looks: 0,
        quiet: 0,
    };
    let body = stream::unfold(follower, |follower| async move {
        let (text, follower) = follower.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), follower))
    });
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Proxies that gather answers would make a live console a late one.
        (
            header::HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    (headers, Body::from_stream(body)).into_response()
}

/// Goes along a trail.
struct Follower {
    api: Api,
    instance: InstanceId,
    visitor: Visitor,
    filter: Filter,
    after: TraceNumber,
    looks: u32,
    quiet: u32,
}

impl Follower {
    /// The next piece of the stream; `None` at its end. Trouble with the store ends it too: the browser comes again.
    async fn next(mut self) -> Option<(String, Self)> {
        loop {
            if self.looks > 0 {
                let stopping = &self.api.shared.stopping;
                tokio::select! {
                    biased;
                    () = stopping.cancelled() => return None,
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
            if self.looks >= LOOKS_MAX {
                return None;
            }
            if self.looks.is_multiple_of(WATCH_AGAIN_AFTER) {
                let visitor = &self.visitor;
                let still = access::still_reaches(&self.api, visitor, self.instance).await;
                if !still.ok()? {
                    return None;
                }
                let until = self.api.now().after(WATCH_FOR);
                self.api
                    .store()
                    .watch_trail(self.instance, until)
                    .await
                    .ok()?;
            }
            let is_first = self.looks == 0;
            self.looks += 1;
            let traces = self
                .api
                .store()
                .trail(self.instance, Some(self.after), READ_AT_ONCE)
                .await
                .ok()?;
            if let Some((last, _)) = traces.last() {
                self.after = *last;
            }
            let text: String = traces
                .iter()
                .filter(|(_, trace)| self.filter.admits(trace))
                .map(|(number, trace)| event(*number, trace))
                .collect();
            self.quiet += 1;
            if !text.is_empty() || is_first || self.quiet > COMMENT_AFTER {
                self.quiet = 0;
                let text = if text.is_empty() {
                    ": here\n\n".to_owned()
                } else {
                    text
                };
                return Some((text, self));
            }
        }
    }
}

/// One event. JSON has no line breaks of its own, so a line is enough for the data.
fn event(number: TraceNumber, trace: &Trace) -> String {
    let data = json!({
        "at": trace.at.to_string(),
        "kind": trace.kind.as_str(),
        "class": class(trace.kind),
        "words": words(trace.kind),
        "detail": trace.detail,
        "user": trace.user,
        "device": trace.device.map(|device| device.to_string()),
        "publish": trace.publish.map(|publish| publish.to_string()),
        "interests": trace.interests,
    });
    format!("id: {}\ndata: {data}\n\n", number.0)
}

#[cfg(test)]
mod tests {
    use domain::clock::Timestamp;
    use domain::user::UserId;

    use super::*;

    #[test]
    fn an_event_stays_one_event_whatever_it_says() {
        let trace = Trace {
            user: Some(UserId::parse("a\n\nid: 9\ndata: x").unwrap()),
            detail: "two\r\nlines".to_owned(),
            ..Trace::new(Timestamp::from_secs(1), TraceKind::Bound)
        };
        let text = event(TraceNumber(7), &trace);
        assert_eq!(text.lines().count(), 3);
        assert!(text.starts_with("id: 7\ndata: {"));
    }

    #[test]
    fn a_filter_wants_all_that_it_names() {
        let trace = Trace {
            user: Some(UserId::parse("alice").unwrap()),
            ..Trace::new(Timestamp::from_secs(1), TraceKind::Bound)
        };
        let of = |query| Filter::of(Some(query)).admits(&trace);
        assert!(of("") && of("user=alice") && of("user=alice&device="));
        assert!(!of("user=alic") && !of("user=alice&interest=a") && !of("device=alice"));
    }
}
