//! Secret keys: several may be active, so that one can take over from another.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::instance::SecretKey;
use maud::{Markup, html};
use store::instances::SecretKeyId;

use crate::admin::instances::Instance;
use crate::admin::secret_keys;
use crate::dashboard::components::copyable;
use crate::dashboard::error::PageError;
use crate::dashboard::layout::{self, Tab};
use crate::dashboard::posted::Posted;
use crate::dashboard::room::Room;
use crate::http::Api;

/// The part of the page.
pub(super) fn section(room: &Room, instance: &Instance) -> Markup {
    let may_write = room.visitor().may_write();
    html! {
        section.card aria-labelledby="keys" {
            h2 id="keys" { "Secret keys" }
            p.soft.small { "A backend signs Beams tokens and publishes with one. To rotate: add a key, give it to the backend, revoke the old one." }
            table.cards {
                thead { tr { th scope="col" { "Key" } th scope="col" { "Since" } th scope="col" { span.unseen { "Revoke" } } } }
                tbody { @for key in &instance.secret_keys { tr {
                    td data-label="Key" { span { code { (key.hint) } " " span.soft.small { "number " (key.number) } } }
                    td data-label="Since" { time datetime=(key.created_at) data-local="" { (key.created_at) } }
                    td.wide { @if may_write && instance.secret_keys.len() > 1 { details.ask {
                        summary { "Revoke" span.unseen { " key number " (key.number) } }
                        form method="post" action=(room.path("settings/keys/revoke")) {
                            (room.context().form_token().field())
                            input type="hidden" name="number" value=(key.number);
                            p.small { "Backends that use it are refused at once." }
                            button.danger.small type="submit" { "Revoke it" }
                        }
                    } } }
                } } }
            }
            @if may_write {
                form.actions method="post" action=(room.path("settings/keys")) {
                    (room.context().form_token().field())
                    button.quiet type="submit" { "Add a key" }
                }
            }
        }
    }
}

/// `POST …/settings/keys`: a new key, shown this once.
pub(in crate::dashboard) async fn add(
    State(api): State<Api>,
    Posted { room, .. }: Posted,
) -> Result<Response, PageError> {
    let added = secret_keys::add(api.admin(), room.actor(), room.id(), SecretKey::random()).await?;
    let body = html! {
        (layout::head("A new secret key", "Keep it now: it is shown this once."))
        div.card {
            p { (copyable(&added.secret_key, "the secret key")) }
            p.hint { "It belongs in your backend, never in an app." }
            div.actions { a.button href=(room.path("settings")) { "I have it" } }
        }
    };
    Ok(layout::room_page(
        &room,
        Tab::Settings,
        "A new secret key",
        &[],
        &body,
    ))
}

/// `POST …/settings/keys/revoke`
pub(in crate::dashboard) async fn revoke(
    State(api): State<Api>,
    Posted { room, form }: Posted,
) -> Result<Response, PageError> {
    let number = form.get("number").and_then(|number| number.parse().ok());
    let key = SecretKeyId(number.ok_or(PageError::NotFound("secret key"))?);
    secret_keys::revoke(api.admin(), room.actor(), room.id(), key).await?;
    Ok(Redirect::to(&room.path("settings?done=revoked")).into_response())
}
