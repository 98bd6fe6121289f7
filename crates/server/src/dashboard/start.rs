//! `/i/{instance}/start`: from an empty instance to a notification that was seen, with a list that ticks itself.

use axum::extract::State;
use axum::response::Response;
use domain::device::Platform;
use maud::{Markup, html};
use serde::Serialize;
use store::instances::InstanceRecord;

use super::components::{badge, code, copyable};
use super::error::PageError;
use super::layout::{self, Tab};
use super::room::Room;
use super::snippets::{self, Snippet};
use crate::http::Api;
use crate::http::extract::json;

/// Among how many devices and publishes the firsts are looked for.
const LOOKED_AT: usize = 100;

/// What has happened in an instance so far.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Firsts {
    registered: bool,
    bound: bool,
    published: bool,
    delivered: bool,
    opened: bool,
}

impl Firsts {
    async fn of(api: &Api, room: &Room) -> Result<Self, PageError> {
        let devices = api
            .store()
            .export_devices(room.id(), None, LOOKED_AT)
            .await?
            .devices;
        let publishes = api
            .store()
            .list_publishes(room.id(), None, None, LOOKED_AT)
            .await?
            .publishes;
        Ok(Self {
            registered: !devices.is_empty(),
            bound: devices.iter().any(|device| device.user.is_some()),
            published: !publishes.is_empty(),
            delivered: publishes.iter().any(|report| report.delivered > 0),
            opened: publishes.iter().any(|report| report.opened > 0),
        })
    }

    fn ticks(self) -> [(&'static str, bool, &'static str, &'static str); 5] {
        [
            (
                "registered",
                self.registered,
                "A device has registered",
                "An app with the SDK has started, or a browser on the page below.",
            ),
            (
                "bound",
                self.bound,
                "It is bound to a user",
                "Your backend signed a Beams token; the device showed it.",
            ),
            (
                "published",
                self.published,
                "Something was published",
                "By your backend, by curl, or composed here.",
            ),
            (
                "delivered",
                self.delivered,
                "A device says that it got it",
                "The SDK reports each delivery.",
            ),
            (
                "opened",
                self.opened,
                "Somebody opened it",
                "A click on the notification.",
            ),
        ]
    }
}

/// `GET …/start/firsts`: for the script that ticks.
pub(super) async fn firsts(State(api): State<Api>, room: Room) -> Result<Response, PageError> {
    Ok(json(&Firsts::of(&api, &room).await?))
}

/// `GET …/start`
pub(super) async fn show(State(api): State<Api>, room: Room) -> Result<Response, PageError> {
    let record = api.admin().record(room.id()).await?;
    let firsts = Firsts::of(&api, &room).await?;
    let (clients, backends) = snippets::all(&api.shared.public_url, room.id());
    let has_gateway = !record.credentials.is_empty();
    let body = html! {
        (layout::head("Get started", "Four steps to a notification. The list ticks itself as things happen."))
        div.grid.even {
            section.card aria-labelledby="steps" {
                h2 id="steps" { "The way" }
                ol.steps {
                    li.done { h3 { "The instance is there" } p.small { (copyable(&room.id().to_string(), "the instance id")) } }
                    li.done[has_gateway] { (gateways(&room, &record)) }
                    li.done[firsts.registered] {
                        h3 { "Make a device" }
                        p { "The fastest one is this browser. An app of yours is as good: see the snippets." }
                        a.button href=(format!("/try?instance={}", room.id())) { "Make this browser a device" }
                    }
                    li.done[firsts.published] {
                        h3 { "Send it something" }
                        p { "Compose a notification to the user or the interest, with a preview and a dry run." }
                        a.button.quiet href=(room.path("compose")) { "Compose" }
                    }
                }
            }
            section.card aria-labelledby="firsts" {
                h2 id="firsts" { "So far" }
                ul.ticks data-firsts=(room.path("start/firsts")) aria-live="polite" {
                    @for (name, done, title, text) in firsts.ticks() {
                        li.done[done] data-first=(name) {
                            span.tick aria-hidden="true" { "✓" }
                            span { strong { (title) } span.unseen data-said="" { @if done { ": done" } @else { ": not yet" } } br; span.soft.small { (text) } }
                        }
                    }
                }
                p.hint.no-js { "Reload the page to see what is new." }
            }
        }
        div.grid.even {
            section.card aria-labelledby="apps" { h2 id="apps" { "In your app" } (snippet_list(&clients)) }
            section.card aria-labelledby="backends" {
                h2 id="backends" { "In your backend" }
                p.small.soft { "It signs Beams tokens for users it has logged in, and publishes. The secret key was shown when the instance was made; " a href=(room.path("settings#keys")) { "the settings" } " make another." }
                (snippet_list(&backends))
            }
        }
    };
    Ok(layout::room_page(
        &room,
        Tab::Start,
        "Get started",
        &["start.js"],
        &body,
    ))
}

fn gateways(room: &Room, record: &InstanceRecord) -> Markup {
    let is_set = |platform| {
        record
            .credentials
            .iter()
            .any(|credential| credential.platform == platform)
    };
    html! {
        h3 { "Ways to devices" }
        p {
            (badge("good", "Web is ready")) " "
            (badge(if is_set(Platform::Apns) { "good" } else { "" }, if is_set(Platform::Apns) { "iOS is ready" } else { "iOS has no key" })) " "
            (badge(if is_set(Platform::Fcm) { "good" } else { "" }, if is_set(Platform::Fcm) { "Android is ready" } else { "Android has no account" }))
        }
        p.small { "Web Push needs nothing. " a href=(room.path("settings#credentials")) { "Add Apple’s key or Google’s service account" } ", or develop without either:" }
        details { summary { "Use the emulators" } (code("heliostat emulate --out emulators     # in one terminal\n. emulators/env.sh && heliostat serve  # in another", "how to use the emulators")) }
    }
}

fn snippet_list(snippets: &[Snippet]) -> Markup {
    html! {
        @for (place, snippet) in snippets.iter().enumerate() {
            details.sdk open[place == 0] {
                summary { (snippet.title) }
                @if !snippet.remark.is_empty() { p.small.soft { (snippet.remark) } }
                (code(&snippet.code, snippet.title))
            }
        }
    }
}
