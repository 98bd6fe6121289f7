//! Says so where a node that gets its certificate by ACME is not alone on its database.
//!
//! The authority looks for its answer inside TLS at whichever node its connection reaches, and each node would order a certificate
//! of its own: with several that take requests under the same names, orders fail at random and run into the authority's limits.
//! One that takes them all, with workers behind it, is fine, so this is a warning.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::Clock;
use store::Store;
use tokio_util::sync::CancellationToken;

/// How often the other nodes are counted.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Looks until the node stops, and warns whenever the nodes have become more.
pub(super) async fn watch(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
) {
    let mut told = 1;
    loop {
        match store.population(clock.now()).await {
            Ok(population) => {
                let nodes = population.nodes.max(1);
                if nodes > told {
                    tracing::warn!(
                        nodes,
                        "ACME is for one node, and several are on this database: unless this one alone takes requests under \
                         the names of acme.names, give them all certificate files, or let a proxy end TLS"
                    );
                }
                told = nodes;
            }
            Err(error) => tracing::debug!(%error, "the nodes could not be counted"),
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
