//! Who is asked for the addresses of a name, and how many names at once.
//!
//! The operating system's resolver keeps a thread for each name until its name server answers, however soon we stop waiting, and the
//! process has 512 of them. Whoever names hosts could have names whose servers never answer. Invariant: names that others chose
//! hold [`LOOKUPS_MAX`] lookups at most, and as many more once their hosts have answered; names of the operator are not counted.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::{Context, Failure, Target};

/// How many names are looked up at once for one client: of hosts that have answered, and of those that have not yet.
const LOOKUPS_MAX: usize = 64;

/// Finds the addresses of names. The system's, unless a test brings its own: what it answers is checked each time.
#[async_trait]
pub trait Resolver: Send + Sync + fmt::Debug {
    /// All addresses of `host`, with `port`.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The operating system's.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// The lookups of a client.
#[derive(Debug)]
pub(super) struct Lookups {
    resolver: Arc<dyn Resolver>,
    known: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

/// For whom a name is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// A host of the operator's.
    Own,
    /// A host that others named, and that has answered.
    Known,
    /// A host that others named, and that has not answered yet.
    Stranger,
}

impl Lookups {
    pub(super) fn new(resolver: Arc<dyn Resolver>) -> Self {
        Self {
            resolver,
            known: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            strangers: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        }
    }

    /// The same resolver, with places of its own.
    pub(super) fn separate(&self) -> Self {
        Self::new(Arc::clone(&self.resolver))
    }
}

/// The addresses of a target, at least one. The caller bounds the time.
pub(super) async fn resolve(
    context: &Context,
    target: &Target,
    asker: Asker,
) -> Result<Vec<SocketAddr>, Failure> {
    if let Some(address) = target.literal() {
        return Ok(vec![address]);
    }
    let lookups = &context.lookups;
    let place = match asker {
        Asker::Own => None,
        // The semaphores are never closed.
        Asker::Known => Arc::clone(&lookups.known).acquire_owned().await.ok(),
        Asker::Stranger => match Arc::clone(&lookups.strangers).try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => return Err(Failure::TooManyHosts),
        },
    };
    let resolver = Arc::clone(&lookups.resolver);
    let (host, port) = (Box::<str>::from(target.host()), target.port());
    let closing = context.closing.clone();
    // A task of its own: the place is given back when the lookup ends, not when nobody waits for it any more.
    let lookup = context.tasks.spawn(async move {
        let _place = place;
        tokio::select! {
            found = resolver.resolve(&host, port) => found.unwrap_or_default(),
            () = closing.cancelled() => Vec::new(),
        }
    });
    let addresses = lookup.await.unwrap_or_default();
    if addresses.is_empty() {
        Err(Failure::Resolve)
    } else {
        Ok(addresses)
    }
}
