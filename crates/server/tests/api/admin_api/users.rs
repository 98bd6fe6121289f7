//! `…/users`

use http::Method;
use serde_json::{Value, json};

use super::{call, full, read};
use crate::support::{NOW, Server};

#[tokio::test]
async fn users_are_listed_shown_and_deleted() {
    let server = Server::start().await;
    let root = full(&server).await;
    let instance = server.instance().await;
    for (number, user) in ["ann", "ann/a", "anna", "bob", "ann"]
        .into_iter()
        .enumerate()
    {
        let id = server.fcm_device(&instance, &format!("t{number}")).await;
        server.bind(&instance, &id, user).await.ok();
    }
    let at = format!("/instances/{}/users", instance.id);
    let names = async |query: &str| {
        let mut found: Vec<String> = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = read(&server, &root, &format!("{at}?limit=1{query}{cursor}")).await;
            let page = page.ok().json();
            let users = page["users"].as_array().unwrap().iter();
            found.extend(users.map(|one| one["user"].as_str().unwrap().to_owned()));
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
    };
    assert_eq!(names("").await, ["ann", "ann/a", "anna", "bob"]);
    assert_eq!(names("&prefix=ann").await, ["ann", "ann/a", "anna"]);
    let page = read(&server, &root, &format!("{at}?limit=1"))
        .await
        .ok()
        .json();
    let now = NOW.to_string();
    let wanted = json!({"user": "ann", "devices": 2, "boundSince": now, "lastSeen": now});
    assert_eq!(page["users"][0], wanted);
    let shown = read(&server, &root, &format!("{at}/ann")).await.ok().json();
    assert_eq!(shown["devices"].as_array().unwrap().len(), 2);
    let shown = read(&server, &root, &format!("{at}/ann%2Fa"))
        .await
        .ok()
        .json();
    assert_eq!(shown["user"], "ann/a");
    read(&server, &root, &format!("{at}/nobody"))
        .await
        .refused(404);
    read(&server, &root, &format!("{at}/{}", "x".repeat(165)))
        .await
        .refused(400);
    read(&server, &root, &format!("{at}?cursor=%21"))
        .await
        .refused(400);
    let path = format!("{at}/ann");
    let deleted = call(&server, &root, Method::DELETE, &path, &Value::Null)
        .await
        .ok();
    assert_eq!(deleted.json(), json!({"devicesDeleted": 2}));
    read(&server, &root, &path).await.refused(404);
    let again = call(&server, &root, Method::DELETE, &path, &Value::Null)
        .await
        .ok();
    assert_eq!(again.json(), json!({"devicesDeleted": 0}));
    assert_eq!(names("").await, ["ann/a", "anna", "bob"]);
}
