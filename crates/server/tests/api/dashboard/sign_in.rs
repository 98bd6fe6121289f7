//! Coming and going.

use std::time::Duration;

use domain::admin_token::Right;
use server::admin::actor::Actor;
use server::admin::tokens;
use store::administration::AdminTokenId;

use super::browser::{Browser, PAGES, admin_token};
use crate::support::Server;

#[tokio::test]
async fn nothing_is_seen_before_sign_in() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let browser = Browser::new(&server);
    let own = PAGES.map(|page| format!("/i/{}{page}", instance.id));
    for path in own.into_iter().chain(["/".to_owned(), "/try".to_owned()]) {
        let reply = browser.get(&path).await;
        assert_eq!(reply.status, 303, "{path}");
        let to = reply.header("location").unwrap();
        assert!(to.starts_with("/sign-in?next="), "{to}");
    }
    for path in ["/console/events", "/start/firsts"] {
        let reply = browser.get(&format!("/i/{}{path}", instance.id)).await;
        assert_eq!(reply.status, 303, "{path}");
    }
}

#[tokio::test]
async fn the_first_visitor_is_told_how_to_get_a_token() {
    let server = Server::start().await;
    let browser = Browser::new(&server);
    let page = browser.get("/sign-in").await.ok();
    assert!(page.body.contains("There is no admin token yet"));
    let token = admin_token(&server, None, Right::Read).await;
    let page = browser.get("/sign-in").await.ok();
    assert!(!page.body.contains("There is no admin token yet"));
    assert!(!page.body.contains(&token));
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_not_echoed() {
    let server = Server::start().await;
    let browser = Browser::new(&server);
    let page = browser.get("/sign-in").await;
    let unknown = domain::admin_token::AdminToken::random();
    for wrong in ["", "x", unknown.reveal()] {
        let reply = browser.submit(&page, "/sign-in", &[("token", wrong)]).await;
        assert_eq!(reply.status, 422, "{wrong}");
        assert!(
            !browser
                .cookies
                .lock()
                .unwrap()
                .contains_key("heliostat_session")
        );
        assert!(wrong.len() < 2 || !reply.body.contains(wrong));
    }
}

#[tokio::test]
async fn after_sign_in_one_is_where_one_wanted_to_be() {
    let server = Server::start().await;
    let token = admin_token(&server, None, Right::Write).await;
    for (next, to) in [("/try?a=b", "/try?a=b"), ("//evil.example", "/"), ("", "/")] {
        let browser = Browser::new(&server);
        let page = browser.get("/sign-in").await;
        let fields = [("token", token.as_str()), ("next", next)];
        let reply = browser.submit(&page, "/sign-in", &fields).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("location")),
            (303, Some(to))
        );
        let cookie = reply.header("set-cookie").unwrap();
        assert!(
            cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=43200"),
            "{cookie}"
        );
        assert!(!cookie.contains(&token));
    }
    let browser = Browser::with_token(&server, &token).await;
    let page = browser.get("/").await.ok();
    browser.submit(&page, "/sign-out", &[]).await;
    assert_eq!(browser.get("/").await.status, 303);
}

#[tokio::test]
async fn over_https_cookies_are_secure() {
    let server = Server::start_with(&[("public_url", "https://push.example.com")]).await;
    let reply = Browser::new(&server).get("/sign-in").await.ok();
    let cookie = reply.header("set-cookie").unwrap();
    assert!(
        cookie.starts_with("__Host-heliostat_form=") && cookie.ends_with("; Secure"),
        "{cookie}"
    );
}

#[tokio::test]
async fn a_revoked_token_ends_its_sessions_at_once() {
    let server = Server::start().await;
    let browser = Browser::signed_in(&server).await;
    browser.get("/").await.ok();
    let admin = server.app.admin();
    let number = tokens::list(admin).await.unwrap()[0].number;
    tokens::revoke(admin, &Actor::CommandLine, AdminTokenId(number))
        .await
        .unwrap();
    assert_eq!(browser.get("/").await.status, 303);
}

#[tokio::test]
async fn a_session_ends_unless_it_is_used() {
    let server = Server::start().await;
    let browser = Browser::signed_in(&server).await;
    for _ in 0..5 {
        server.clock.advance(Duration::from_secs(6 * 60 * 60));
        browser.get("/").await.ok();
    }
    server.clock.advance(Duration::from_secs(12 * 60 * 60));
    assert_eq!(browser.get("/").await.status, 303);
}

#[tokio::test]
async fn a_session_is_known_to_a_node_that_did_not_make_it() {
    let server = Server::start().await;
    let cookies = std::mem::take(&mut *Browser::signed_in(&server).await.cookies.lock().unwrap());
    let server = server.restart().await;
    let browser = Browser::new(&server);
    *browser.cookies.lock().unwrap() = cookies;
    browser.get("/").await.ok();
}
