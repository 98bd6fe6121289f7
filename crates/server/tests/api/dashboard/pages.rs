//! What holds for all pages, and what they show.

use super::browser::{Browser, PAGES};
use crate::support::{Server, devices};

#[tokio::test]
async fn every_page_is_complete_without_scripts_and_lets_none_of_others_in() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let browser = Browser::signed_in(&server).await;
    let own = PAGES.map(|page| format!("/i/{}{page}", instance.id));
    let try_it = format!("/try?instance={}", instance.id);
    for path in own.into_iter().chain(["/".to_owned(), try_it]) {
        let page = browser.get(&path).await.ok();
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
            "{path}"
        );
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(
            page.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8"),
            "{path}"
        );
        assert_eq!(page.body.matches("<h1").count(), 1, "{path}");
        assert!(
            page.body.contains("<main id=\"main\">") && page.body.contains("<html lang=\"en\""),
            "{path}"
        );
        let posts = page.body.matches("method=\"post\"").count();
        assert_eq!(
            page.body.matches("name=\"form_token\"").count(),
            posts,
            "{path}: a form without its token"
        );
    }
}

#[tokio::test]
async fn assets_are_kept_as_long_as_they_are_the_same() {
    let server = Server::start().await;
    let browser = Browser::new(&server);
    let page = browser.get("/sign-in").await.ok();
    let links = page
        .body
        .split('"')
        .filter(|piece| piece.starts_with("/assets/"));
    let links: Vec<String> = links.map(str::to_owned).collect();
    assert!(links.len() >= 3, "{links:?}");
    for link in links {
        let asset = browser.get(&link).await.ok();
        assert!(
            asset.header("cache-control").unwrap().contains("immutable"),
            "{link}"
        );
        let old = format!("/assets/0/{}", link.rsplit('/').next().unwrap());
        let asset = browser.get(&old).await.ok();
        assert_eq!(asset.header("cache-control"), Some("no-cache"), "{old}");
    }
    let worker = browser.get("/try-worker.js").await.ok();
    assert_eq!(
        worker.header("content-type"),
        Some("text/javascript; charset=utf-8")
    );
    assert_eq!(browser.get("/assets/0/none.js").await.status, 404);
}

#[tokio::test]
async fn the_theme_is_remembered_without_scripts() {
    let server = Server::start().await;
    let browser = Browser::new(&server);
    let page = browser.get("/sign-in").await.ok();
    assert!(!page.body.contains("data-theme"));
    let fields = [("theme", "dark"), ("back", "/sign-in")];
    let reply = browser.submit(&page, "/theme", &fields).await;
    assert_eq!(reply.header("location"), Some("/sign-in"));
    assert!(
        browser
            .get("/sign-in")
            .await
            .body
            .contains("data-theme=\"dark\"")
    );
    browser
        .submit(&page, "/theme", &[("theme", "<script>")])
        .await;
    assert!(!browser.get("/sign-in").await.body.contains("data-theme"));
}

#[tokio::test]
async fn people_are_found_and_their_devices_go() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let device = server.fcm_device(&instance, "t").await;
    let user = "عمر & sons <#1>";
    server.bind(&instance, &device, user).await.ok();
    let interest = format!("{}/fcm/{device}/interests/kitchen", devices(&instance));
    server.post(&interest, "").await.ok();
    let browser = Browser::signed_in(&server).await;
    let people = format!("/i/{}/people", instance.id);
    let shown = "عمر &amp; sons &lt;#1&gt;";
    for path in ["", "?search=%D8%B9", "?devices=all", "?interest=kitchen"] {
        let page = browser.get(&format!("{people}{path}")).await.ok();
        assert!(page.body.contains(shown), "{path}: {}", page.body);
    }
    assert!(
        !browser
            .get(&format!("{people}?search=x"))
            .await
            .body
            .contains(shown)
    );
    let page = browser.get(&format!("{people}?search={device}")).await.ok();
    assert!(page.body.contains("kitchen") && page.body.contains(shown));
    let gone = browser
        .submit(
            &page,
            &format!("{people}/delete-device"),
            &[("device", &device)],
        )
        .await;
    let user_page = browser.get(gone.header("location").unwrap()).await.ok();
    assert!(
        user_page.body.contains("The device is gone"),
        "{}",
        user_page.body
    );
    assert_eq!(
        browser
            .get(&format!("{people}?device={device}"))
            .await
            .status,
        404
    );
}
