//! A plain TCP wire between nodes and their database that can be cut, in two ways, and joined again.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How the wire is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Everything goes through.
    Joined,
    /// Nothing goes through and nobody is told, as when a switch loses its power.
    Silent,
    /// Connections are torn down and refused, as when the far machine restarts.
    Torn,
}

/// A wire to one address. Dropping it tears it down.
pub(crate) struct Wire {
    pub(crate) port: u16,
    state: Arc<watch::Sender<State>>,
    _acceptor: JoinSet<()>,
}

impl Wire {
    pub(crate) async fn to(port: u16) -> Self {
        let far = SocketAddr::from(([127, 0, 0, 1], port));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(watch::Sender::new(State::Joined));
        let mut acceptor = JoinSet::new();
        let watched = state.subscribe();
        acceptor.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(carry(near, far, watched.clone()));
            }
        });
        Self {
            port,
            state,
            _acceptor: acceptor,
        }
    }

    pub(crate) fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

async fn carry(near: TcpStream, far: SocketAddr, mut state: watch::Receiver<State>) {
    // A connection that is begun on a silent wire waits for it.
    match state.wait_for(|state| *state != State::Silent).await {
        Ok(state) if *state == State::Joined => {}
        _ => return,
    }
    let Ok(far) = TcpStream::connect(far).await else {
        return;
    };
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let mut torn = state.clone();
    tokio::select! {
        () = pump(near_read, far_write, state.clone()) => {}
        () = pump(far_read, near_write, state) => {}
        _ = torn.wait_for(|state| *state == State::Torn) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let goes_on = state
            .wait_for(|state| *state != State::Silent)
            .await
            .is_ok();
        if !goes_on || to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
