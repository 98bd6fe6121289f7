//! `…/devices/fcm/{device}/token`

use crate::support::{Server, device_path, devices};

#[tokio::test]
async fn a_new_token_must_be_one_and_for_a_known_device() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let id = server.fcm_device(&instance, "token").await;
    let path = format!("{}/token", device_path(&instance, &id));
    for bad in [
        "",
        "{}",
        r#"{"token":""}"#,
        r#"{"token":"a b"}"#,
        r#"{"token":[]}"#,
    ] {
        server.put(&path, bad).await.refused(400);
    }
    let unknown = device_path(&instance, "fcm-9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac");
    server
        .put(&format!("{unknown}/token"), r#"{"token":"t"}"#)
        .await
        .refused(404);
    let other = device_path(&instance, "apns-9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac");
    server
        .put(&format!("{other}/token"), r#"{"token":"ab"}"#)
        .await
        .refused(404);
}

#[tokio::test]
async fn a_new_token_keeps_id_interests_and_user() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let id = server.fcm_device(&instance, "old").await;
    let device = device_path(&instance, &id);
    server
        .post(&format!("{device}/interests/panda"), "")
        .await
        .ok();
    server.bind(&instance, &id, "alice").await.ok();

    server
        .put(&format!("{device}/token"), r#"{"token":"new"}"#)
        .await
        .ok_and_empty();
    let again = server
        .post(&format!("{}/fcm", devices(&instance)), r#"{"token":"new"}"#)
        .await
        .ok()
        .json();
    assert_eq!(
        again,
        serde_json::json!({"id": id, "initialInterestSet": ["panda"]})
    );
    assert_eq!(server.get(&device).await.ok().json()["userId"], "alice");
    assert_ne!(server.fcm_device(&instance, "old").await, id);
}

/// Whoever has a gateway token learns the device's id by registering it, and must not get the user's notifications with it.
#[tokio::test]
async fn a_device_whose_id_was_given_again_is_forgotten_rather_than_moved_with_its_user() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let device = server.fcm_device(&instance, "victim").await;
    server.bind(&instance, &device, "ann").await.ok();
    assert_eq!(server.fcm_device(&instance, "victim").await, device);
    let path = device_path(&instance, &device);
    let taken = server
        .put(&format!("{path}/token"), r#"{"token":"attacker"}"#)
        .await;
    taken.refused(404);
    server.get(&path).await.refused(404);
    let mine = server.fcm_device(&instance, "attacker").await;
    let seen = server.get(&device_path(&instance, &mine)).await.ok().json();
    assert_eq!(seen["userId"], "");
}
