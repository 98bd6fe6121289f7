//! `/sign-in`, `/sign-out` and `/theme`: coming, going, and how things look meanwhile.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{StatusCode, Uri};
use maud::{Markup, html};

use super::access;
use super::components::wrong;
use super::context::{Context, Theme};
use super::cookie;
use super::error::PageError;
use super::form::Form;
use super::layout::{self, Width};
use super::session::Session;
use crate::http::Api;
use crate::http::extract::query_value;

/// The command that makes an admin token, and the one that makes a link.
const COMMAND: &str = "heliostat admin-token create --name you";
const LINK_COMMAND: &str = "heliostat admin-token link --name you";
/// What became of a link that counts no more.
const LINK_ENDED: &str = "This link counts no more: it works once, within 15 minutes. Start the server again for another one, or make one with the command below.";

/// `GET /sign-in`
pub(super) async fn show(
    State(api): State<Api>,
    context: Context,
    uri: Uri,
) -> Result<Response, PageError> {
    let next = safe(query_value(uri.query(), "next").as_deref());
    if context.visitor().is_some() {
        return Ok(Redirect::to(&next).into_response());
    }
    let link = query_value(uri.query(), "link");
    let why = match &link {
        Some(code) if access::is_good(&api, code).await? => {
            let body = by_link(&context, code, &next);
            return Ok(layout::page(&context, "Sign in", Width::Narrow, &body));
        }
        Some(_) => Some(LINK_ENDED),
        None => None,
    };
    let first = !access::is_any(&api).await?;
    let page = page(&context, &next, first, why);
    Ok(layout::page(&context, "Sign in", Width::Narrow, &page))
}

/// `POST /sign-in`
pub(super) async fn submit(
    State(api): State<Api>,
    context: Context,
    form: Form,
) -> Result<Response, PageError> {
    let next = safe(form.get("next"));
    let shown = form.get("token").unwrap_or_default();
    let (known, why) = match form.get("link") {
        Some(code) => (access::redeem(&api, code).await?, LINK_ENDED),
        None if shown.is_empty() => (None, "Paste an admin token first."),
        None => (
            access::recognise(&api, shown).await?,
            "That admin token is not known here. It may have been revoked or have expired.",
        ),
    };
    let Some(token) = known else {
        let first = !access::is_any(&api).await?;
        let page = page(&context, &next, first, Some(why));
        let mut response = layout::page(&context, "Sign in", Width::Narrow, &page);
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        return Ok(response);
    };
    let sealed = Session::new(token, api.now())
        .seal(api.vault())
        .ok_or(PageError::Internal)?;
    let mut response = Redirect::to(&next).into_response();
    cookie::set(
        response.headers_mut(),
        cookie::SESSION,
        &sealed,
        Some(Session::LIFE),
        api.is_secure(),
    );
    Ok(response)
}

/// `POST /sign-out`
pub(super) async fn leave(State(api): State<Api>, _form: Form) -> Response {
    let mut response = Redirect::to("/sign-in").into_response();
    cookie::clear(response.headers_mut(), cookie::SESSION, api.is_secure());
    response
}

/// `POST /theme`
pub(super) async fn theme(State(api): State<Api>, form: Form) -> Response {
    let theme = Theme::of(form.get("theme"));
    let mut response = Redirect::to(&safe(form.get("back"))).into_response();
    let life = Some(cookie::THEME_KEPT);
    cookie::set(
        response.headers_mut(),
        cookie::THEME,
        theme.as_str(),
        life,
        api.is_secure(),
    );
    response
}

/// A path of this server to go to: one that cannot lead elsewhere (`//host`, `/\host`), the start for any other.
fn safe(path: Option<&str>) -> String {
    let is_ours = |path: &&str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && path
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    path.filter(is_ours).unwrap_or("/").to_owned()
}

/// A button for who comes by a link. To look at a link uses nothing up, because messengers and mail filters look at links.
fn by_link(context: &Context, code: &str, next: &str) -> Markup {
    html! {
        (head())
        div.card {
            form method="post" action="/sign-in" data-once="" {
                (context.form_token().field())
                input type="hidden" name="link" value=(code);
                input type="hidden" name="next" value=(next);
                p { "This link signs this browser in, once. You stay signed in for twelve hours after you were last here, and seven days at most." }
                button type="submit" autofocus { "Sign in" }
            }
        }
    }
}

fn head() -> Markup {
    html! {
        div.head { div {
            h1 { "Keep the beam on its target" }
            p { "Heliostat’s dashboard: see every delivery, from registration to open." }
        } }
    }
}

fn page(context: &Context, next: &str, first: bool, why: Option<&str>) -> Markup {
    html! {
        (head())
        @if let Some(why) = why { (wrong(why)) }
        div.card {
            form method="post" action="/sign-in" {
                (context.form_token().field())
                input type="hidden" name="next" value=(next);
                div.field {
                    label for="token" { "Admin token" }
                    input id="token" name="token" type="password" autocomplete="current-password" spellcheck="false" autocapitalize="none" required autofocus aria-describedby="token-hint";
                    p.hint id="token-hint" { "It begins with " code { "hsa_" } ". You stay signed in for twelve hours, or until the token is revoked." }
                }
                button type="submit" { "Sign in" }
            }
        }
        div.card {
            @if first {
                h2 { "There is no admin token yet" }
                p { "The server printed a link that signs you in when it started, and prints another one when it starts again. Or make one where the server runs, with the same settings as the server:" }
            } @else {
                h2 { "No token at hand?" }
                p { "Who has the server’s database and master key makes a link that signs you in:" }
            }
            (super::components::code(LINK_COMMAND, "the command that makes a sign-in link"))
            p { "or a token to keep:" }
            (super::components::code(COMMAND, "the command that makes an admin token"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        assert_eq!(safe(Some("/i/1?a=b")), "/i/1?a=b");
        for bad in [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "",
            "/a\r\nb",
            "/ä",
        ] {
            assert_eq!(safe(Some(bad)), "/", "{bad}");
        }
        assert_eq!(safe(None), "/");
    }
}
