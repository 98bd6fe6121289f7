//! Callers from other addresses than this machine's own: in a network namespace, where it has as many as it takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::program::{Server, client, heliostat, until};

/// Set where the test runs itself in the namespace.
const INSIDE: &str = "HELIOSTAT_TEST_IN_A_NETWORK_OF_ITS_OWN";
/// All of it is this machine there (RFC 5737).
const NETWORK: &str = "192.0.2.0/24";
const SERVER: &str = "192.0.2.1:0";

/// Runs the test of this name in a network of its own. Whether that is where it is already.
fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let network = r#"ip link set lo up && ip route add local "$0" dev lo && exec "$@""#;
    let ended = Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-c", network, NETWORK])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare is needed: util-linux");
    let said = String::from_utf8_lossy(&ended.stdout);
    // A name that nobody has any more would pass.
    let passed = ended.status.success() && said.contains("1 passed");
    assert!(passed, "{said}{}", String::from_utf8_lossy(&ended.stderr));
    false
}

/// A connection from this address on which a request was answered; nothing if it was closed.
async fn connection(server: SocketAddr, from: [u8; 4]) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::from(from), 0).into()).unwrap();
    let mut stream = socket.connect(server).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: heliostat\r\n\r\n";
    stream.write_all(request).await.ok()?;
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.ok()?;
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    Some(stream)
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_no_other_has_fewer_for_it() {
    const MAX: usize = 3;
    let test = "neighbours::an_address_has_so_many_connections_and_no_other_has_fewer_for_it";
    if !is_inside(test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("heliostat.db").display());
    let mut command = heliostat(&[
        ("HELIOSTAT_DATABASE".to_owned(), database),
        (
            "HELIOSTAT_LIMITS_CONNECTIONS_PER_ADDRESS_MAX".to_owned(),
            MAX.to_string(),
        ),
    ]);
    command.args(["serve", "--listen", SERVER]);
    let http = client().build().unwrap();
    let server = Server::start_as(command, &folder.path().join("server.log"), &http).await;
    let at = server.url.strip_prefix("http://").unwrap().parse().unwrap();

    let (greedy, modest) = ([192, 0, 2, 7], [192, 0, 2, 8]);
    let mut held = Vec::new();
    for _ in 0..MAX {
        held.push(connection(at, greedy).await.unwrap());
    }
    for _ in 0..MAX {
        assert!(connection(at, greedy).await.is_none());
    }
    assert!(connection(at, modest).await.is_some());
    // One that ends makes room for one.
    held.pop();
    held.push(until("a place", async || connection(at, greedy).await).await);
    assert!(connection(at, greedy).await.is_none());
    server.kill();
}
