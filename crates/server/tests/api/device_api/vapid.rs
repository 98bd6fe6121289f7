//! `…/web-vapid-public-key`

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::Server;

#[tokio::test]
async fn an_unknown_instance_has_no_key() {
    let server = Server::start().await;
    for id in ["9c2c5a9c-2cf6-4ed0-9dd4-d1ad2cf1a1ac", "nonsense"] {
        let reply = server
            .get(&format!(
                "/device_api/v1/instances/{id}/web-vapid-public-key"
            ))
            .await;
        assert_eq!(reply.refused(404).0, "Instance not found");
    }
}

#[tokio::test]
async fn the_key_is_a_point_and_the_same_after_a_restart() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let path = format!(
        "/device_api/v1/instances/{}/web-vapid-public-key",
        instance.id
    );
    let before = server.get(&path).await.ok().json();
    let point = URL_SAFE_NO_PAD
        .decode(before["vapidPublicKey"].as_str().unwrap())
        .unwrap();
    assert_eq!((point.len(), point[0]), (65, 4));
    let server = server.restart().await;
    assert_eq!(server.get(&path).await.ok().json(), before);
}
