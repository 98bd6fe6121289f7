//! `…/publishes/users`

use serde_json::json;

use super::{accepted, publish};
use crate::support::Server;

#[tokio::test]
async fn users_that_break_a_rule_are_422() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let names = |count: usize| (0..count).map(|n| format!("u{n}")).collect::<Vec<_>>();
    let web = json!({"notification": {"title": "x"}});
    for (body, because) in [
        (json!({"web": web}), "`users`: users is required"),
        (json!({"users": {}, "web": web}), "`users`:"),
        (json!({"users": [], "web": web}), "1 to 1000"),
        (json!({"users": names(1001), "web": web}), "1 to 1000"),
        (json!({"users": [""], "web": web}), "`users`:"),
        (json!({"users": ["u".repeat(165)], "web": web}), "164"),
        (json!({"users": ["a\u{0}"], "web": web}), "NUL"),
        (
            json!({"users": ["a"], "interests": ["b"], "web": web}),
            "`interests`:",
        ),
        (json!({"users": ["a"]}), "at least one of apns, fcm, web"),
    ] {
        let (error, description) = publish(&server, &instance, "/users", &body.to_string())
            .await
            .refused(422);
        assert_eq!(error, "Bad Request");
        assert!(description.contains(because), "{body}: {description}");
    }
}

#[tokio::test]
async fn a_thousand_users_are_accepted() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let users: Vec<_> = (0..1000).map(|n| format!("{n:☃>60}")).collect();
    let body = json!({"users": users, "fcm": {"notification": {"title": "x"}}}).to_string();
    accepted(publish(&server, &instance, "/users", &body).await);
}

#[tokio::test]
async fn any_active_secret_key_will_do() {
    let server = Server::start().await;
    let mut instance = server.instance().await;
    let second = domain::instance::SecretKey::random();
    let new = server
        .app
        .vault()
        .new_secret_key(instance.id, &second, crate::support::NOW)
        .unwrap();
    server
        .app
        .store()
        .add_secret_key(instance.id, new)
        .await
        .unwrap();
    let body = json!({"users": ["alice"], "fcm": {"notification": {"title": "x"}}}).to_string();
    accepted(publish(&server, &instance, "/users", &body).await);
    instance.key = second;
    accepted(publish(&server, &instance, "/users", &body).await);
}
