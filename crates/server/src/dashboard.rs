//! The dashboard at `/`: seeing and steering a Heliostat in a browser.
//!
//! Pages are made here and complete without any script; the scripts add what only they can (live, previews, a browser that is
//! a device). A page reads through the store's lookups and [`crate::admin`], and changes things through the latter alone, so
//! that the audit log has them. A request is believed for its session (`session.rs`), a form for its token (`form.rs`).
//! Everything shown is escaped by maud; nothing here makes markup of text.

mod access;
mod assets;
mod chart;
mod components;
mod compose;
mod console;
mod context;
mod cookie;
mod docs;
mod error;
mod figures;
mod form;
mod insights;
mod instances;
mod layout;
mod overview;
mod people;
mod posted;
mod publishes;
mod recent;
mod room;
mod session;
mod settings;
mod sift;
mod sign_in;
mod snippets;
mod start;
mod trying;
mod webhooks;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::http::Api;

/// The session that a request's cookies name, for the fuzz targets.
#[cfg(feature = "fuzzing")]
pub(crate) fn session_cookie(headers: &http::HeaderMap, secure: bool) -> Option<&str> {
    cookie::Cookies::of(headers, secure).get(cookie::SESSION)
}

/// All pages, behind what holds for all of them.
pub(crate) fn routes(api: &Api) -> Router<Api> {
    let room = |path: &str| format!("/i/{{instance}}{path}");
    Router::new()
        .route("/", get(instances::list))
        .route("/instances", get(instances::again).post(instances::create))
        .route("/sign-in", get(sign_in::show).post(sign_in::submit))
        .route("/sign-out", post(sign_in::leave))
        .route("/theme", post(sign_in::theme))
        .route("/docs", get(docs::show))
        .route("/try", get(trying::show))
        .route("/try-worker.js", get(assets::worker))
        .route("/assets/{version}/{name}", get(assets::show))
        .route(&room(""), get(overview::show))
        .route(&room("/start"), get(start::show))
        .route(&room("/start/firsts"), get(start::firsts))
        .route(&room("/compose"), get(compose::show).post(compose::submit))
        .route(&room("/console"), get(console::show))
        .route(&room("/console/events"), get(console::events))
        .route(&room("/console/payloads"), post(console::payloads))
        .route(&room("/insights"), get(insights::show))
        .route(&room("/people"), get(people::show))
        .route(&room("/people/test"), post(people::test))
        .route(&room("/people/test-device"), post(people::test_device))
        .route(&room("/people/unbind-device"), post(people::unbind_device))
        .route(&room("/people/delete-user"), post(people::delete_user))
        .route(&room("/people/delete-device"), post(people::delete_device))
        .route(&room("/publishes"), get(publishes::list))
        .route(&room("/publishes/{publish}"), get(publishes::show))
        .route(&room("/publishes/{publish}/events"), get(publishes::events))
        .route(
            &room("/publishes/{publish}/cancel"),
            post(publishes::cancel),
        )
        .route(
            &room("/publishes/{publish}/replay"),
            post(publishes::replay),
        )
        .route(&room("/try/token"), post(trying::token))
        .route(&room("/try/send"), post(trying::send))
        .route(&room("/settings"), get(settings::show))
        .route(&room("/settings/delete"), post(settings::delete))
        .route(&room("/settings/keys"), post(settings::add_key))
        .route(&room("/settings/keys/revoke"), post(settings::revoke_key))
        .route(
            &room("/settings/credentials"),
            post(settings::set_credential),
        )
        .route(
            &room("/settings/credentials/check"),
            post(settings::check_credential),
        )
        .merge(of_webhooks())
        .layer(from_fn_with_state(api.clone(), context::enter))
}

fn of_webhooks() -> Router<Api> {
    let at = |path: &str| format!("/i/{{instance}}/webhooks{path}");
    Router::new()
        .route(&at(""), get(webhooks::list).post(webhooks::add))
        .route(&at("/{webhook}"), get(webhooks::show))
        .route(&at("/{webhook}/change"), post(webhooks::change))
        .route(&at("/{webhook}/enable"), post(webhooks::enable))
        .route(&at("/{webhook}/disable"), post(webhooks::disable))
        .route(&at("/{webhook}/remove"), post(webhooks::remove))
        .route(&at("/{webhook}/test"), post(webhooks::test))
        .route(
            &at("/{webhook}/replay-failed"),
            post(webhooks::replay_failed),
        )
        .route(
            &at("/{webhook}/deliveries/{delivery}"),
            get(webhooks::show_delivery),
        )
        .route(
            &at("/{webhook}/deliveries/{delivery}/replay"),
            post(webhooks::replay),
        )
}
