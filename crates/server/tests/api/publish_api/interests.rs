//! `…/publishes/interests` and its first form, `…/publishes`

use serde_json::json;

use super::{accepted, publish};
use crate::support::Server;

#[tokio::test]
async fn interests_that_break_a_rule_are_422() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let names = |count: usize| (0..count).map(|n| format!("i{n}")).collect::<Vec<_>>();
    let web = json!({"notification": {"title": "x"}});
    for (body, because) in [
        (json!({"web": web}), "`interests`: interests is required"),
        (
            json!({"interests": null, "web": web}),
            "`interests`: interests is required",
        ),
        (json!({"interests": "hello", "web": web}), "`interests`:"),
        (json!({"interests": [], "web": web}), "1 to 100"),
        (json!({"interests": names(101), "web": web}), "1 to 100"),
        (json!({"interests": ["a b"], "web": web}), "' '"),
        (json!({"interests": ["a".repeat(165)], "web": web}), "164"),
        (
            json!({"interests": ["a"], "users": ["b"], "web": web}),
            "`users`:",
        ),
        (
            json!({"interests": ["a"]}),
            "at least one of apns, fcm, web",
        ),
        (json!({"interests": ["a"], "web": []}), "`web`"),
        (
            json!({"interests": ["a"], "web": {"data": {"pusher": 1}}}),
            "pusher",
        ),
    ] {
        for rest in ["", "/interests"] {
            let (error, description) = publish(&server, &instance, rest, &body.to_string())
                .await
                .refused(422);
            assert_eq!(error, "Bad Request");
            assert!(description.contains(because), "{body}: {description}");
        }
    }
}

#[tokio::test]
async fn a_hundred_interests_of_full_length_are_accepted() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let names: Vec<_> = (0..100).map(|n| format!("{n:0>164}")).collect();
    let body = json!({"interests": names, "fcm": {"notification": {"title": "x"}}}).to_string();
    accepted(publish(&server, &instance, "/interests", &body).await);
}

#[tokio::test]
async fn a_publish_is_known_once_it_is_accepted() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let body = r#"{"interests":["hello"],"apns":{"aps":{"alert":"x"}},"customer":"key"}"#;
    let first = accepted(publish(&server, &instance, "", body).await);
    let second = accepted(publish(&server, &instance, "/interests", body).await);
    assert_ne!(first, second);
    let id = domain::publish::PublishId::parse(&first).unwrap();
    let report = server
        .app
        .store()
        .publish_report(instance.id, id)
        .await
        .unwrap()
        .unwrap();
    assert!(
        report.finished_at.is_some(),
        "nobody is subscribed, so it is done"
    );
}
