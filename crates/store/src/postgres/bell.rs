//! LISTEN and NOTIFY: nodes wake each other when there is work for whoever has a hand free.
//!
//! One connection of its own hears and rings. It rings beside the transactions, not in them: a commit with a notification in it
//! waits for all others that have one. What is missed while the connection is down, or behind a pooler that does not carry
//! notifications, is found by the poll of those who wait.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const LISTEN: &str = "LISTEN heliostat_work";
const RING: &str = "NOTIFY heliostat_work";
/// How long after a ring the next one waits, so that a thousand publishes ring a few times.
const QUIET: Duration = Duration::from_millis(20);
/// How long to wait before the connection is made anew.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// The bell of a store.
#[derive(Debug)]
pub(super) struct Bell {
    heard: Arc<Notify>,
    rung: Arc<Notify>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Bell {
    /// Begins to listen, and goes on until [`Bell::stop`].
    pub(super) fn hang(config: Config, tls: MakeRustlsConnect) -> Self {
        let bell = Self {
            heard: Arc::default(),
            rung: Arc::default(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let (heard, rung) = (Arc::clone(&bell.heard), Arc::clone(&bell.rung));
        let listening = async move {
            loop {
                if let Err(error) = listen(&config, tls.clone(), &heard, &rung).await {
                    tracing::debug!(%error, "the connection that hears of work was lost");
                }
                tokio::time::sleep(RECONNECT_AFTER).await;
            }
        };
        let stopping = bell.stopping.clone();
        bell.tasks.spawn(async move {
            stopping.run_until_cancelled(listening).await;
        });
        bell
    }

    /// Tells all nodes that there is work.
    pub(super) fn ring(&self) {
        self.rung.notify_one();
    }

    /// Waits for a node to ring.
    pub(super) async fn heard(&self) {
        self.heard.notified().await;
    }

    /// Ends the connection.
    pub(super) async fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

/// Hears and rings until the connection ends.
async fn listen(
    config: &Config,
    tls: MakeRustlsConnect,
    heard: &Notify,
    rung: &Notify,
) -> Result<(), Error> {
    let (client, mut connection) = config.connect(tls).await?;
    let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
    let hear = async {
        while let Some(message) = messages.next().await {
            if let AsyncMessage::Notification(_) = message? {
                heard.notify_one();
            }
        }
        Ok(())
    };
    let serve = async {
        client.batch_execute(LISTEN).await?;
        // Something may have been missed before.
        heard.notify_one();
        ring_on(&client, rung).await
    };
    // The client's statements are carried by the connection, which is polled in `hear`.
    futures_util::select_biased! {
        ended = hear.boxed().fuse() => ended,
        ended = serve.boxed().fuse() => ended,
    }
}

async fn ring_on(client: &Client, rung: &Notify) -> Result<(), Error> {
    loop {
        rung.notified().await;
        client.batch_execute(RING).await?;
        tokio::time::sleep(QUIET).await;
    }
}
