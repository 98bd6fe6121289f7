//! `…/devices/{platform}/{device}/interests` and `…/interests/{interest}`

use http::Method;
use serde_json::{Value, json};

use crate::support::{Instance, JSON, Server, device_path};

async fn server_with_device() -> (Server, Instance, String) {
    let server = Server::start().await;
    let instance = server.instance().await;
    let id = server.fcm_device(&instance, "token").await;
    let path = format!("{}/interests", device_path(&instance, &id));
    (server, instance, path)
}

async fn interests(server: &Server, path: &str) -> Value {
    server.get(path).await.ok().json()["interests"].clone()
}

#[tokio::test]
async fn a_set_that_breaks_a_rule_changes_nothing() {
    let (server, _, path) = server_with_device().await;
    server.put(&path, r#"{"interests":["panda"]}"#).await.ok();
    let long = json!({"interests": ["a".repeat(165)]}).to_string();
    let names: Vec<String> = (0..5001).map(|n| format!("i{n}")).collect();
    let many = json!({"interests": names}).to_string();
    for (body, because) in [
        ("", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("{}", "`interests`: interests is required"),
        (r#"{"interests":"a"}"#, "list of strings"),
        (r#"{"interests":[1]}"#, "list of strings"),
        (r#"{"interests":[""]}"#, "empty"),
        (r#"{"interests":["ok","not ok"]}"#, "' '"),
        (&long, "164"),
        (&many, "5000"),
    ] {
        let (_, description) = server.put(&path, body).await.refused(400);
        assert!(description.contains(because), "{description}");
    }
    assert_eq!(interests(&server, &path).await, json!(["panda"]));
}

#[tokio::test]
async fn five_thousand_interests_of_full_length_are_taken_and_one_more_is_not() {
    let (server, _, path) = server_with_device().await;
    let names: Vec<String> = (0..5000).map(|n| format!("{n:0>164}")).collect();
    let body = serde_json::to_string_pretty(&json!({"interests": names})).unwrap();
    server.put(&path, &body).await.ok_and_empty();
    server
        .post(&format!("{path}/{}", names[7]), "")
        .await
        .ok_and_empty();
    let (_, description) = server.post(&format!("{path}/more"), "").await.refused(400);
    assert!(description.contains("5000"), "{description}");
}

#[tokio::test]
async fn unknown_devices_have_no_interests() {
    let (server, instance, _) = server_with_device().await;
    let unknown = format!(
        "{}/interests",
        device_path(&instance, "fcm-9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac")
    );
    server.get(&unknown).await.refused(404);
    server
        .put(&unknown, r#"{"interests":[]}"#)
        .await
        .refused(404);
    server
        .post(&format!("{unknown}/panda"), "")
        .await
        .refused(404);
    server
        .delete(&format!("{unknown}/panda"))
        .await
        .refused(404);
}

#[tokio::test]
async fn one_interest_with_a_name_that_breaks_a_rule_is_no_lost_device() {
    let (server, _, path) = server_with_device().await;
    let long = "a".repeat(165);
    for name in [
        "",
        "a%20b",
        "a%2Fb",
        "a/b",
        "%E2%98%83",
        "a:b",
        "%00",
        &long,
    ] {
        let path = format!("{path}/{name}");
        server.send(Method::POST, &path, &[], "").await.refused(400);
        server.delete(&path).await.refused(400);
    }
}

#[tokio::test]
async fn one_interest_comes_and_goes_however_often() {
    let (server, _, path) = server_with_device().await;
    for _ in 0..2 {
        // Without a content type, as web and Android send it; then with one, as Swift does.
        server
            .send(Method::POST, &format!("{path}/a-Z_9%3D%40%2C%3B."), &[], "")
            .await
            .ok_and_empty();
        server
            .send(Method::POST, &format!("{path}/a-Z_9=@,;."), &[JSON], "")
            .await
            .ok_and_empty();
        assert_eq!(interests(&server, &path).await, json!(["a-Z_9=@,;."]));
    }
    for _ in 0..2 {
        server
            .send(Method::DELETE, &format!("{path}/a-Z_9=@,;."), &[JSON], "")
            .await
            .ok_and_empty();
        assert_eq!(interests(&server, &path).await, json!([]));
    }
}

#[tokio::test]
async fn a_set_is_ascending_without_repeats_and_can_be_emptied() {
    let (server, _, path) = server_with_device().await;
    server
        .put(
            &path,
            r#"{"interests":["zebra","panda","zebra","Zoo","."]}"#,
        )
        .await
        .ok_and_empty();
    let reply = server.get(&path).await.ok().json();
    assert_eq!(
        reply,
        json!({"interests": [".", "Zoo", "panda", "zebra"], "responseMetadata": {}})
    );
    server
        .put(&path, r#"{"interests":[]}"#)
        .await
        .ok_and_empty();
    assert_eq!(interests(&server, &path).await, json!([]));
}

#[tokio::test]
async fn a_limit_or_cursor_that_makes_no_sense_is_refused() {
    let (server, _, path) = server_with_device().await;
    for limit in ["0", "-1", "101", "150", "x", "1.5", "99999999999999999999"] {
        let (_, description) = server
            .get(&format!("{path}?limit={limit}"))
            .await
            .refused(400);
        assert_eq!(description, "`limit` given is not valid");
    }
    for cursor in ["!", "a%20b", "%FF", "YSBi", "4pi6"] {
        let (_, description) = server
            .get(&format!("{path}?cursor={cursor}"))
            .await
            .refused(400);
        assert_eq!(description, "`cursor` given is not valid");
    }
    // The web SDK leaves parameters out that are not set; an empty one means the same.
    server.get(&format!("{path}?limit=&cursor=")).await.ok();
}

#[tokio::test]
async fn pages_stay_right_while_the_set_changes() {
    let (server, _, path) = server_with_device().await;
    let names: Vec<String> = (0..250).map(|n| format!("i{n:03}")).collect();
    server
        .put(&path, &json!({"interests": names}).to_string())
        .await
        .ok();

    let first = server.get(&format!("{path}?limit=100")).await.ok().json();
    assert_eq!(first["interests"], json!(names[..100]));
    let cursor = first["responseMetadata"]["nextCursor"].as_str().unwrap();
    server.delete(&format!("{path}/i099")).await.ok();
    server.delete(&format!("{path}/i100")).await.ok();
    server.post(&format!("{path}/i000a"), "").await.ok();

    let second = server
        .get(&format!("{path}?limit=100&cursor={cursor}"))
        .await
        .ok()
        .json();
    assert_eq!(second["interests"], json!(names[101..201]));
    let cursor = second["responseMetadata"]["nextCursor"].as_str().unwrap();
    let last = server
        .get(&format!("{path}?cursor={cursor}"))
        .await
        .ok()
        .json();
    assert_eq!(
        last,
        json!({"interests": names[201..], "responseMetadata": {}})
    );
}
