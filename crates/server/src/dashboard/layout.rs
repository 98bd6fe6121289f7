//! The frame around every page: brand, navigation, theme, who is signed in.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use maud::{DOCTYPE, Markup, html};

use super::assets;
use super::components::mark;
use super::context::{Context, Theme};
use super::error::Mishap;
use super::room::Room;

/// The pages of an instance, in the order of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Start,
    Compose,
    Publishes,
    Insights,
    People,
    Console,
    Webhooks,
    Settings,
}

impl Tab {
    const ALL: [Self; 9] = [
        Self::Overview,
        Self::Start,
        Self::Compose,
        Self::Publishes,
        Self::Insights,
        Self::People,
        Self::Console,
        Self::Webhooks,
        Self::Settings,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Start => "Get started",
            Self::Compose => "Compose",
            Self::Publishes => "Publishes",
            Self::Insights => "Insights",
            Self::People => "Users & devices",
            Self::Console => "Debug console",
            Self::Webhooks => "Webhooks",
            Self::Settings => "Settings",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Overview => "",
            Self::Start => "/start",
            Self::Compose => "/compose",
            Self::Publishes => "/publishes",
            Self::Insights => "/insights",
            Self::People => "/people",
            Self::Console => "/console",
            Self::Webhooks => "/webhooks",
            Self::Settings => "/settings",
        }
    }
}

/// How wide a page is that belongs to no instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// Lists.
    Wide,
    /// A form and nothing else.
    Narrow,
}

/// A page outside of any instance.
pub(super) fn page(context: &Context, title: &str, width: Width, body: &Markup) -> Response {
    page_with(context, title, width, &[], body)
}

/// A page outside of any instance that needs more than the script of all pages.
pub(super) fn page_with(
    context: &Context,
    title: &str,
    width: Width,
    scripts: &[&str],
    body: &Markup,
) -> Response {
    let class = match width {
        Width::Wide => "frame alone",
        Width::Narrow => "frame narrow",
    };
    let main = html! { div class=(class) { main id="main" { (body) } } };
    whole(context, title, None, scripts, &main)
}

/// A page of an instance; `scripts` are what it needs beyond the script of all pages.
pub(super) fn room_page(
    room: &Room,
    tab: Tab,
    title: &str,
    scripts: &[&str],
    body: &Markup,
) -> Response {
    let name = room.instance().name().as_str();
    let main = html! {
        div.frame {
            nav.side aria-label="Instance" {
                ul {
                    @for known in Tab::ALL {
                        li { a href=(format!("{}{}", room.base(), known.path())) aria-current=[(known == tab).then_some("page")] { (known.label()) } }
                    }
                }
            }
            main id="main" { (body) }
        }
    };
    let title = format!("{title} · {name}");
    whole(room.context(), &title, Some(name), scripts, &main)
}

/// A long page outside of any instance, with its contents beside it: where each part begins, and what it is called.
pub(super) fn guide(
    context: &Context,
    title: &str,
    contents: &[(String, String)],
    body: &Markup,
) -> Response {
    let main = html! {
        div.frame {
            nav.side aria-label="Contents" {
                ul { @for (anchor, label) in contents { li { a href=(format!("#{anchor}")) { (label) } } } }
            }
            main id="main" { (body) }
        }
    };
    whole(context, title, None, &[], &main)
}

/// A page that says what went wrong.
pub(super) fn mishap(context: &Context, mishap: &Mishap) -> Response {
    let body = html! {
        div.head { div { h1 { (mishap.title) } } }
        div.card {
            p role="alert" { (mishap.text) }
            div.actions { a.button.quiet href="/" { "To the start" } }
        }
    };
    let mut response = page(context, mishap.title, Width::Narrow, &body);
    *response.status_mut() = mishap.status;
    response
}

/// The head of a page.
pub(super) fn head(title: &str, what: &str) -> Markup {
    html! { div.head { div { h1 { (title) } @if !what.is_empty() { p { (what) } } } } }
}

fn whole(
    context: &Context,
    title: &str,
    place: Option<&str>,
    scripts: &[&str],
    main: &Markup,
) -> Response {
    let theme = context.theme();
    let page = html! {
        (DOCTYPE)
        html lang="en" data-theme=[(theme != Theme::System).then_some(theme.as_str())] {
            head {
                meta charset="utf-8";
                title { (title) " · Heliostat" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                link rel="icon" href=(assets::url("mark.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(assets::url("heliostat.css"));
                script src=(assets::url("heliostat.js")) defer {}
                @for script in scripts { script src=(assets::url(script)) defer {} }
            }
            body {
                a.skip href="#main" { "To the content" }
                (top(context, place))
                (main)
            }
        }
    };
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    ([(header::CONTENT_TYPE, html)], page.into_string()).into_response()
}

fn top(context: &Context, place: Option<&str>) -> Markup {
    let next = context.theme().next();
    html! {
        header.top {
            a.brand href="/" { (mark()) span { "Heliostat" } }
            @if let Some(place) = place {
                span.where { span aria-hidden="true" { "/ " } bdi { (place) } }
            }
            div.who {
                a.small href="/docs" { "API" }
                form method="post" action="/theme" {
                    (context.form_token().field())
                    input type="hidden" name="theme" value=(next.as_str());
                    input type="hidden" name="back" value=(context.here());
                    button.icon type="submit" aria-label=(theme_label(next)) title=(theme_label(next)) { (theme_icon(context.theme())) }
                }
                @if let Some(visitor) = context.visitor() {
                    form method="post" action="/sign-out" {
                        (context.form_token().field())
                        button.quiet.small type="submit" title=(format!("Signed in as {}", visitor.name())) { "Sign out" }
                    }
                }
            }
        }
    }
}

fn theme_label(next: Theme) -> &'static str {
    match next {
        Theme::Light => "Use the light theme",
        Theme::Dark => "Use the dark theme",
        Theme::System => "Use the system’s theme",
    }
}

fn theme_icon(theme: Theme) -> Markup {
    html! {
        svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" aria-hidden="true" {
            @match theme {
                Theme::Light => { circle cx="12" cy="12" r="4.5" {} path d="M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4" {} }
                Theme::Dark => path d="M20 14.5A8.2 8.2 0 0 1 9.5 4 8.2 8.2 0 1 0 20 14.5z" {},
                Theme::System => { circle cx="12" cy="12" r="8" {} path d="M12 4a8 8 0 0 1 0 16z" fill="currentColor" {} }
            }
        }
    }
}
