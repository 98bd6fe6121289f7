//! Coming and going.

use std::time::Duration;

use domain::admin_token::{AdminTokenName, Reach, Right, Scope};
use http::Method;
use server::admin::actor::Actor;
use server::admin::links::{self, LINK_LIFE, SIGNED_IN_LIFE};
use server::admin::tokens;
use store::administration::{AdminTokenId, AuditFilter};

use super::browser::{Browser, PAGES, admin_token};
use crate::support::{Reply, Server};

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

/// The link that a server prints at its start, behind its address.
async fn printed(server: &Server) -> Option<String> {
    let first = links::first(server.app.admin(), "").await.unwrap();
    first.map(|link| link.url)
}

/// A browser that opens a link and presses the button.
async fn follow<'a>(server: &'a Server, link: &str) -> (Browser<'a>, Reply) {
    let browser = Browser::new(server);
    let page = browser.get(link).await.ok();
    let code = link.split_once("link=").unwrap().1;
    let reply = browser.submit(&page, "/sign-in", &[("link", code)]).await;
    (browser, reply)
}

async fn actions(server: &Server) -> Vec<String> {
    let all = server
        .app
        .store()
        .audit_page(AuditFilter::default(), None, 100);
    let all = all.await.unwrap();
    all.into_iter()
        .map(|entry| entry.entry.action)
        .rev()
        .collect()
}

#[tokio::test]
async fn the_link_of_a_first_start_signs_in_once() {
    let server = Server::start().await;
    let (link, of_another_node) = (
        printed(&server).await.unwrap(),
        printed(&server).await.unwrap(),
    );
    // Whoever only looks at a link leaves it as it is, and is told nothing of who may come in.
    for _ in 0..3 {
        let page = Browser::new(&server).get(&link).await.ok();
        assert!(
            page.body.contains("signs this browser in, once"),
            "{}",
            page.body
        );
        assert_eq!(page.header("referrer-policy"), Some("same-origin"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
    }
    let page = Browser::new(&server).get("/sign-in").await.ok();
    assert!(
        page.body.contains("There is no admin token yet"),
        "a link is none"
    );
    let (browser, reply) = follow(&server, &link).await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("location")),
        (303, Some("/"))
    );
    let page = browser.get("/").await.ok();
    browser
        .submit(&page, "/instances", &[("name", "first")])
        .await
        .ok();
    for spent in [&link, &of_another_node] {
        let (stranger, reply) = follow(&server, spent).await;
        assert_eq!(reply.status, 422);
        assert!(reply.body.contains("This link counts no more"));
        assert_eq!(stranger.get("/").await.status, 303);
    }
    assert!(printed(&server).await.is_none(), "somebody can sign in");
    let expected = [
        "sign_in_link.create",
        "sign_in_link.create",
        "sign_in_link.use",
        "sign_in_link.end",
        "admin_token.create",
        "instance.create",
    ];
    assert_eq!(actions(&server).await, expected);
}

#[tokio::test]
async fn a_link_works_on_any_node_and_ends_by_itself() {
    let server = Server::start().await;
    let link = printed(&server).await.unwrap();
    let server = server.restart().await;
    let (browser, reply) = follow(&server, &link).await;
    assert_eq!(reply.status, 303);
    // In use every few hours, and yet over in the end.
    let mut passed = Duration::ZERO;
    while passed + Duration::from_secs(6 * 60 * 60) < SIGNED_IN_LIFE {
        server.clock.advance(Duration::from_secs(6 * 60 * 60));
        passed += Duration::from_secs(6 * 60 * 60);
        browser.get("/").await.ok();
    }
    server.clock.advance(Duration::from_secs(6 * 60 * 60));
    assert_eq!(browser.get("/").await.status, 303);
    let again = printed(&server).await.expect("nobody can sign in any more");
    let kept = server.app.store().admin_tokens().await.unwrap();
    assert_eq!(kept.len(), 1, "what is over was cleared away");
    server.clock.advance(LINK_LIFE);
    let (_, reply) = follow(&server, &again).await;
    assert_eq!(reply.status, 422);
}

#[tokio::test]
async fn a_link_is_no_admin_token_and_goes_no_further_than_it_says() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let other = server.instance().await;
    let scope = Scope {
        reach: Reach::Some([instance.id].into()),
        right: Right::Read,
    };
    let name = AdminTokenName::parse("visitor").unwrap();
    let link = links::create(server.app.admin(), &Actor::CommandLine, "", name, scope).await;
    let link = link.unwrap();
    let code = link.url.split_once("link=").unwrap().1;
    let bearer = format!("Bearer {code}");
    let headers = [("Authorization", bearer.as_str())];
    let path = "/admin_api/v1/instances";
    let reply = server.send(Method::GET, path, &headers, "").await;
    assert_eq!(reply.status, 401);
    let browser = Browser::new(&server);
    let page = browser.get("/sign-in").await;
    let reply = browser.submit(&page, "/sign-in", &[("token", code)]).await;
    assert_eq!(reply.status, 422);
    for wrong in [
        "",
        "hsl_",
        "hsl_AAAA",
        &code.replace("hsl_", "hsa_"),
        &code[1..],
    ] {
        let reply = browser.submit(&page, "/sign-in", &[("link", wrong)]).await;
        assert_eq!(reply.status, 422, "{wrong}");
        assert!(wrong.len() < 8 || !reply.body.contains(wrong));
    }
    let (browser, reply) = follow(&server, &link.url).await;
    assert_eq!(reply.status, 303);
    let page = browser.get(&format!("/i/{}", instance.id)).await.ok();
    assert!(page.body.contains("visitor"));
    assert_eq!(browser.get(&format!("/i/{}", other.id)).await.status, 404);
    let listed = tokens::list(server.app.admin()).await.unwrap();
    let (by_link, hint) = (listed.last().unwrap(), "hsb_…");
    assert_eq!(
        (by_link.name.as_str(), by_link.hint.as_str()),
        ("visitor", hint)
    );
    let number = AdminTokenId(by_link.number);
    tokens::revoke(server.app.admin(), &Actor::CommandLine, number)
        .await
        .unwrap();
    assert_eq!(browser.get("/").await.status, 303);
}
