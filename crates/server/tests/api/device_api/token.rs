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

/// Nor the notifications of the user who is going to be bound. What happens is what the Android SDK 1.9.2 does with a 404: it
/// registers the token that it knows of, sets its interests, proves its user, and does what it was about to do again.
#[tokio::test]
async fn a_device_that_is_moved_before_it_is_bound_leads_nobody_elsewhere() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let victim = server.fcm_device(&instance, "victim").await;
    assert_eq!(server.fcm_device(&instance, "victim").await, victim);
    let path = device_path(&instance, &victim);
    let moved = server
        .put(&format!("{path}/token"), r#"{"token":"attacker"}"#)
        .await;
    moved.refused(404);
    // The app logs its user in.
    server.bind(&instance, &victim, "ann").await.refused(404);
    let anew = server.fcm_device(&instance, "victim").await;
    assert_ne!(anew, victim);
    server.bind(&instance, &anew, "ann").await.ok();
    // The attacker tries it again, and in the other order.
    assert_eq!(server.fcm_device(&instance, "victim").await, anew);
    let path = device_path(&instance, &anew);
    let moved = server
        .put(&format!("{path}/token"), r#"{"token":"attacker"}"#)
        .await;
    moved.refused(404);
    let first = server.fcm_device(&instance, "victim").await;
    assert_eq!(server.fcm_device(&instance, "victim").await, first);
    server.bind(&instance, &first, "ann").await.ok();
    let path = device_path(&instance, &first);
    let moved = server
        .put(&format!("{path}/token"), r#"{"token":"attacker"}"#)
        .await;
    moved.refused(404);
    // The gateway gives the victim's app another token, with all that was.
    let anew = server.fcm_device(&instance, "victim").await;
    let path = device_path(&instance, &anew);
    let interests = format!("{path}/interests");
    server
        .put(&interests, r#"{"interests":["panda"]}"#)
        .await
        .ok();
    server.bind(&instance, &anew, "ann").await.ok();
    server
        .put(&format!("{path}/token"), r#"{"token":"fresh"}"#)
        .await
        .ok();
    assert_eq!(server.fcm_device(&instance, "fresh").await, anew);
    assert_eq!(server.get(&path).await.ok().json()["userId"], "ann");
    // Whatever the attacker has now, it is nobody's.
    for token in ["attacker", "victim"] {
        let other = server.fcm_device(&instance, token).await;
        let seen = server.get(&device_path(&instance, &other)).await;
        assert_eq!(seen.ok().json()["userId"], "", "{token}");
    }
}

/// Whose token it was has to register again, and finds the device of somebody else: what is left to who knows a gateway token.
#[tokio::test]
async fn a_token_that_is_moved_to_a_device_of_another_user_brings_no_user_along() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let victim = server.fcm_device(&instance, "victim").await;
    server.bind(&instance, &victim, "ann").await.ok();
    let mine = server.fcm_device(&instance, "attacker").await;
    server.bind(&instance, &mine, "mallory").await.ok();
    let path = device_path(&instance, &mine);
    server
        .put(&format!("{path}/token"), r#"{"token":"victim"}"#)
        .await
        .ok();
    server
        .get(&device_path(&instance, &victim))
        .await
        .refused(404);
    assert_eq!(server.fcm_device(&instance, "victim").await, mine);
    server.bind(&instance, &mine, "ann").await.refused(400);
    // Nor can it be moved away any more, now that its id was given again.
    server
        .put(&format!("{path}/token"), r#"{"token":"attacker"}"#)
        .await
        .refused(404);
    let anew = server.fcm_device(&instance, "victim").await;
    server.bind(&instance, &anew, "ann").await.ok();
}
