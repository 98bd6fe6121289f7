//! `/customer_api/v1/instances/{instance}/users/{user}`, and the same under `/user_api`

use http::Method;

use crate::support::{Instance, Reply, Server, device_path};

async fn delete(
    server: &Server,
    instance: &Instance,
    api: &str,
    user: &str,
    library: &str,
) -> Reply {
    let path = format!("/{api}/v1/instances/{}/users/{user}", instance.id);
    let authorization = instance.authorization();
    let headers = [
        ("Authorization", authorization.as_str()),
        ("X-Pusher-Library", library),
    ];
    server.send(Method::DELETE, &path, &headers, "").await
}

#[tokio::test]
async fn only_the_backend_may_delete() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let id = server.fcm_device(&instance, "token").await;
    server.bind(&instance, &id, "alice").await.ok();
    for api in ["customer_api", "user_api"] {
        let path = format!("/{api}/v1/instances/{}/users/alice", instance.id);
        server.delete(&path).await.refused(400);
        for (authorization, status) in [("x", 400), ("Bearer", 400), ("Bearer WRONG", 401)] {
            let reply = server
                .send(
                    Method::DELETE,
                    &path,
                    &[("Authorization", authorization)],
                    "",
                )
                .await;
            reply.refused(status);
        }
        let other = server.instance().await.authorization();
        server
            .send(Method::DELETE, &path, &[("Authorization", &other)], "")
            .await
            .refused(401);
        let unknown =
            format!("/{api}/v1/instances/9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac/users/alice");
        let reply = server
            .send(Method::DELETE, &unknown, &[("Authorization", &other)], "")
            .await;
        assert_eq!(reply.refused(404).0, "Instance not found");
    }
    server.get(&device_path(&instance, &id)).await.ok();
}

#[tokio::test]
async fn ids_that_no_user_has_are_refused() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let reply = delete(&server, &instance, "customer_api", &"u".repeat(165), "x").await;
    let (error, description) = reply.refused(400);
    assert_eq!(error, "Bad request");
    assert_eq!(description, "'User id' is too long, max length is 164");
    delete(&server, &instance, "customer_api", "", "x")
        .await
        .refused(404);
    delete(&server, &instance, "customer_api", "%FF", "x")
        .await
        .refused(400);
    delete(&server, &instance, "customer_api", "a%00", "x")
        .await
        .refused(400);
    let unicode = "%E2%98%83".repeat(164);
    delete(&server, &instance, "customer_api", &unicode, "x")
        .await
        .ok_and_empty();
}

#[tokio::test]
async fn a_deleted_user_has_no_devices_and_an_unknown_one_deletes_as_well() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let (first, second) = (
        server.fcm_device(&instance, "one").await,
        server.fcm_device(&instance, "two").await,
    );
    let other = server.fcm_device(&instance, "three").await;
    server.bind(&instance, &first, "alice").await.ok();
    server.bind(&instance, &second, "alice").await.ok();
    server.bind(&instance, &other, "bob").await.ok();
    delete(
        &server,
        &instance,
        "user_api",
        "alice",
        "pusher-push-notifications-node 1.2.7",
    )
    .await
    .ok_and_empty();
    delete(&server, &instance, "user_api", "alice", "x")
        .await
        .ok_and_empty();
    for gone in [&first, &second] {
        server.get(&device_path(&instance, gone)).await.refused(404);
    }
    server.get(&device_path(&instance, &other)).await.ok();
}

#[tokio::test]
async fn each_sdk_reaches_the_user_it_means() {
    let server = Server::start().await;
    let instance = server.instance().await;
    // One user id with all that SDKs encode differently, as each of them sends it.
    let user = "a b+c/d!'()*:@&=$ü";
    for (library, encoded) in [
        (
            "pusher-push-notifications-node 1.2.7",
            "a%20b%2Bc%2Fd!'()*%3A%40%26%3D%24%C3%BC",
        ),
        (
            "pusher-push-notifications-go 1.1.1",
            "a%20b+c%2Fd%21%27%28%29%2A:@&=$%C3%BC",
        ),
        (
            "pusher-push-notifications-python 2.0.2",
            "a%20b%2Bc/d%21%27%28%29%2A%3A%40%26%3D%24%C3%BC",
        ),
        (
            "pusher-push-notifications-server-java 1.1.1",
            "a+b%2Bc%2Fd%21%27%28%29*%3A%40%26%3D%24%C3%BC",
        ),
        (
            "pusher-push-notifications-ruby 2.0.3",
            "a+b%2Bc%2Fd%21%27%28%29%2A%3A%40%26%3D%24%C3%BC",
        ),
        (
            "pusher-push-notifications-php 2.0.0",
            "a+b%2Bc%2Fd%21%27%28%29%2A%3A%40%26%3D%24%C3%BC",
        ),
    ] {
        let id = server
            .fcm_device(&instance, library.split(' ').next().unwrap())
            .await;
        server.bind(&instance, &id, user).await.ok();
        delete(&server, &instance, "customer_api", encoded, library)
            .await
            .ok_and_empty();
        let shown = server.get(&device_path(&instance, &id)).await;
        assert_eq!(shown.status, 404, "{library} meant another user");
    }
}
