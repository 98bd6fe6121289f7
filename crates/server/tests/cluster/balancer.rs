//! A plain TCP balancer before the nodes: each connection goes to the next node that takes it.
//!
//! As balancers do, it tries another node where one does not take the connection, or ends it before it has answered anything.
//! What reads HTTP in it looks at nothing but whether an answer says 503: a node that stops says so, and the next one is asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How often all nodes are tried before a caller is turned away.
const ROUNDS_MAX: usize = 50;
const BETWEEN_ROUNDS: Duration = Duration::from_millis(100);

/// The nodes, each in its place; none where there is nobody at the time.
type Nodes = Arc<Mutex<Vec<Option<SocketAddr>>>>;

/// A running balancer.
pub(crate) struct Balancer {
    /// What callers use.
    pub(crate) url: String,
    nodes: Nodes,
    _acceptor: JoinSet<()>,
}

impl Balancer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let nodes = Nodes::default();
        let next = Arc::new(AtomicUsize::new(0));
        let mut acceptor = JoinSet::new();
        let known = Arc::clone(&nodes);
        acceptor.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((caller, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(serve(caller, Arc::clone(&known), Arc::clone(&next)));
            }
        });
        Self {
            url,
            nodes,
            _acceptor: acceptor,
        }
    }

    /// Puts a node, by its URL, in a place.
    pub(crate) fn put(&self, place: usize, url: &str) {
        let address = url.trim_start_matches("http://").parse().unwrap();
        let mut nodes = self.nodes.lock().unwrap();
        if nodes.len() <= place {
            nodes.resize(place + 1, None);
        }
        nodes[place] = Some(address);
    }
}

/// Reads a request, which comes whole and alone on a connection, and answers what the first node says that has anything to say.
async fn serve(mut caller: TcpStream, nodes: Nodes, next: Arc<AtomicUsize>) {
    let Some(request) = read_request(&mut caller).await else {
        return;
    };
    let mut last = None;
    for _ in 0..ROUNDS_MAX {
        let known: Vec<SocketAddr> = nodes.lock().unwrap().iter().flatten().copied().collect();
        for _ in 0..known.len() {
            let node = known[next.fetch_add(1, Ordering::Relaxed) % known.len()];
            match ask(node, &request).await {
                Some(answer) if !answer.starts_with(b"HTTP/1.1 503") => {
                    let _ = caller.write_all(&answer).await;
                    return;
                }
                refused @ Some(_) => last = refused,
                None => {}
            }
        }
        tokio::time::sleep(BETWEEN_ROUNDS).await;
    }
    let _ = caller.write_all(&last.unwrap_or_default()).await;
}

/// The whole answer of a node; nothing if the connection did not come to its end.
async fn ask(node: SocketAddr, request: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(node).await.ok()?;
    stream.write_all(request).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    (!answer.is_empty()).then_some(answer)
}

/// The head and as much of the body as the head says. Asks the node to end the connection afterwards.
async fn read_request(caller: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let length = caller
            .read(&mut piece)
            .await
            .ok()
            .filter(|length| *length > 0)?;
        request.extend_from_slice(&piece[..length]);
        let Some(end) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&request[..end]).ok()?;
        let body = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, value)| value.trim().parse().unwrap_or(0));
        if request.len() >= end + 4 + body {
            let (line, rest) = head.split_once("\r\n")?;
            let mut alone = format!("{line}\r\nconnection: close\r\n{rest}\r\n\r\n").into_bytes();
            alone.extend_from_slice(&request[end + 4..]);
            return Some(alone);
        }
    }
}
