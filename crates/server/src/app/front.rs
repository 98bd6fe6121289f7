//! What listens, and with which certificate: prepared before anything else is made, opened when all is there.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use domain::clock::Clock;
use ipnet::IpNet;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::StartError;
use super::connections::Connections;
use crate::config::{Config, Limits, Tls};
use crate::tls::{self, Certificates};

/// The listeners.
pub(super) struct Front {
    listener: TcpListener,
    pub(super) local_addr: SocketAddr,
    operations: Option<TcpListener>,
    /// Where those who watch the server are answered, if apart.
    pub(super) operations_addr: Option<SocketAddr>,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    trusted: Arc<[IpNet]>,
}

impl Front {
    /// Takes the addresses and reads the certificate. Nobody is answered yet.
    pub(super) async fn prepare(
        config: &Config,
        clock: &Arc<dyn Clock>,
        stopping: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<Self, StartError> {
        let tls = match &config.tls {
            Some(tls) => Some(acceptor(config, tls, clock, stopping, tasks)?),
            None => None,
        };
        let (listener, local_addr) = listen(config.listen).await?;
        let operations = match config.metrics_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let (operations, operations_addr) = operations.unzip();
        Ok(Self {
            listener,
            local_addr,
            operations,
            operations_addr,
            tls,
            limits: config.limits.clone(),
            trusted: config.proxies.trusted.as_slice().into(),
        })
    }

    /// Answers from now on.
    pub(super) fn open(
        self,
        router: Router,
        operations_router: Router,
        stopping: &CancellationToken,
        cut: &CancellationToken,
        tasks: &TaskTracker,
    ) {
        let connections = Connections {
            router,
            tls: self.tls,
            limits: self.limits,
            trusted: self.trusted,
            stopping: stopping.clone(),
            cut: cut.clone(),
            tasks: tasks.clone(),
        };
        if let Some(listener) = self.operations {
            let operations = Connections {
                router: operations_router,
                tls: None,
                ..connections.clone()
            };
            tasks.spawn(operations.accept(listener));
        }
        tasks.spawn(connections.accept(self.listener));
    }
}

fn acceptor(
    config: &Config,
    tls: &Tls,
    clock: &Arc<dyn Clock>,
    stopping: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<TlsAcceptor, StartError> {
    let certificates = Arc::new(Certificates::default());
    let served = Arc::clone(&certificates);
    let stopping = stopping.clone();
    match tls {
        Tls::Files(files) => {
            tasks.spawn(tls::keep_reading(files.clone(), served, stopping)?);
        }
        Tls::Acme(acme) => {
            let outbound = gateway::client_tls(config.outbound.extra_ca_pem.as_deref())?;
            let clock = Arc::clone(clock);
            let work = tls::keep_ordering(acme.clone(), outbound, served, clock, stopping)?;
            tasks.spawn(work);
        }
    }
    Ok(tls::acceptor(certificates, matches!(tls, Tls::Acme(_)))?)
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local_addr = listener.local_addr().map_err(failed)?;
    Ok((listener, local_addr))
}
