//! The pool of connections, and the two ways in which work uses one: reading, and a transaction.
//!
//! A transaction that collides with another is undone and done again. One whose connection is lost before it was to be
//! committed is done again on another. One whose connection is lost while it is being committed may or may not have been: that
//! is told as unavailable. What devices ask for, which anybody can in any number, has a share of the connections and of the
//! queue for them, and leaves the rest to those who have proved something.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts,
};
use rand::RngExt as _;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio_util::task::TaskTracker;

use super::PostgresSettings;
use super::connect::{self, DatabaseUrl};
use super::fault::{self, Fault};
use super::group::{self, Calls};
use super::schema;
use super::session::Session;
use crate::StoreError;

/// How often a transaction is done at most.
const TRIES_MAX: u32 = 8;
/// How long to wait before the second try at most; doubled with each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_millis(640);

/// How much longer than the server has for a statement we wait for its answer.
const PATIENCE_BEYOND: Duration = Duration::from_secs(1);

/// Devices have one in so many of the connections, whether others use theirs or not,
const DEVICES_CONNECTIONS_SHARE: usize = 2;
/// and of those who may wait.
const DEVICES_QUEUE_SHARE: usize = 4;

/// How a transaction that writes begins.
const BEGIN: &str = "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// What a piece of work is doing with its arguments; written so that it can be done several times.
pub(super) type Work<A, T> =
    for<'a> fn(&'a Session, &'a A) -> Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>;

/// Connections, and who may use them.
#[derive(Clone)]
pub(super) struct Sessions {
    shared: Arc<Shared>,
    asker: Asker,
    /// Transactions under way: they are carried out whoever stops waiting for them.
    tasks: TaskTracker,
}

struct Shared {
    pool: Pool,
    patience: Duration,
    admitted: Semaphore,
    devices: Devices,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// Whoever has proved something, and what the server does by itself: publishes, deliveries, administration.
    Own,
    /// Devices, or who says to be one.
    Devices,
}

/// The share of devices.
struct Devices {
    admitted: Semaphore,
    connections: Semaphore,
    wait_timeout: Duration,
}

impl Devices {
    fn new(settings: PostgresSettings) -> Self {
        let connections = settings.connections_max / DEVICES_CONNECTIONS_SHARE;
        Self {
            admitted: Semaphore::new(settings.queue_length.div_ceil(DEVICES_QUEUE_SHARE).max(1)),
            connections: Semaphore::new(connections.max(1)),
            wait_timeout: settings.wait_timeout,
        }
    }

    /// Waits for one of the connections that devices may use, as long as for any connection.
    async fn admit(&self) -> Result<Admitted<'_>, StoreError> {
        let admitted = admit(&self.admitted)?;
        Ok(Admitted(admitted, Some(self.connection().await?)))
    }

    async fn connection(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        let connection = tokio::time::timeout(self.wait_timeout, self.connections.acquire());
        match connection.await {
            Ok(Ok(connection)) => Ok(connection),
            // Nobody closes it; there is nothing to wait for if somebody did.
            Ok(Err(_)) | Err(_) => Err(StoreError::Busy),
        }
    }
}

/// Leave to use a connection, until it is dropped.
struct Admitted<'a>(
    #[expect(dead_code, reason = "held")] SemaphorePermit<'a>,
    #[expect(dead_code, reason = "held")] Option<SemaphorePermit<'a>>,
);

fn admit(queue: &Semaphore) -> Result<SemaphorePermit<'_>, StoreError> {
    queue.try_acquire().map_err(|_| StoreError::Busy)
}

/// How a transaction ended that did not.
enum Undone {
    /// It may be done again.
    Again(Fault),
    /// It may not.
    Final(Fault),
}

impl Sessions {
    pub(super) fn new(url: &DatabaseUrl, settings: PostgresSettings) -> Result<Self, StoreError> {
        let (config, tls) = connect::prepare(url, settings)?;
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_config(config, tls, recycling);
        let begin = connect::session_settings(settings);
        let pool = Pool::builder(manager)
            .max_size(settings.connections_max.max(1))
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(settings.wait_timeout),
                // Twice: once to connect, once to sign in.
                create: Some(settings.connect_timeout * 2),
                recycle: None,
            })
            .post_create(Hook::async_fn(move |client, _| {
                let begin = begin.clone();
                Box::pin(async move {
                    let set = client.batch_execute(&begin).await;
                    set.map_err(HookError::Backend)
                })
            }))
            .build()
            .map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        Ok(Self {
            shared: Arc::new(Shared {
                pool,
                patience: settings.statement_timeout + PATIENCE_BEYOND,
                admitted: Semaphore::new(settings.queue_length.max(1)),
                devices: Devices::new(settings),
            }),
            asker: Asker::Own,
            tasks: TaskTracker::new(),
        })
    }

    /// The same connections, as devices have them.
    pub(super) fn for_devices(&self) -> Self {
        Self {
            asker: Asker::Devices,
            ..self.clone()
        }
    }

    /// Connects once, and brings the database to the present schema.
    pub(super) async fn prepare(&self) -> Result<(), StoreError> {
        let session = self.shared.session().await?;
        match schema::migrate(&session).await {
            Ok(()) => Ok(()),
            Err(fault) => {
                session.discard();
                Err(fault.into())
            }
        }
    }

    /// A connection, for tests that look closer.
    #[cfg(test)]
    pub(super) async fn session(&self) -> Result<Session, StoreError> {
        self.shared.session().await
    }

    /// Reads, each statement for itself. Stops with whoever stops waiting.
    pub(super) async fn read<A: Sync, T>(
        &self,
        args: A,
        work: Work<A, T>,
    ) -> Result<T, StoreError> {
        let _admitted = self.shared.admit(self.asker).await?;
        let mut tries = 1;
        loop {
            let session = self.shared.session().await?;
            match work(&session, &args).await {
                Ok(done) => return Ok(done),
                Err(fault) => {
                    let is_lost = fault.is_of_connection();
                    if is_lost {
                        session.discard();
                    }
                    if tries >= TRIES_MAX || !(is_lost || fault.is_collision()) {
                        return Err(fault.into());
                    }
                }
            }
            back_off(tries).await;
            tries += 1;
        }
    }

    /// Reads as of one moment.
    pub(super) async fn snapshot<A, T>(&self, args: A, work: Work<A, T>) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.carry_out(
            "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
            args,
            work,
        )
        .await
    }

    /// Does work in a transaction of its own, to the end, whoever stops waiting for it.
    pub(super) async fn write<A, T>(&self, args: A, work: Work<A, T>) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.carry_out(BEGIN, args, work).await
    }

    async fn carry_out<A, T>(
        &self,
        begin: &'static str,
        args: A,
        work: Work<A, T>,
    ) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        if self.tasks.is_closed() {
            return Err(fault::unavailable("the store is closed"));
        }
        let (shared, asker) = (Arc::clone(&self.shared), self.asker);
        let task = self.tasks.spawn(async move {
            let _admitted = shared.admit(asker).await?;
            Ok(shared.done(begin, &args, work).await?)
        });
        task.await
            .unwrap_or_else(|error| Err(StoreError::Unavailable(Box::new(error))))
    }

    /// For groups of calls, which have a task for all of them.
    pub(super) fn lane(&self) -> Lane {
        Lane(Arc::clone(&self.shared), self.asker)
    }

    /// Carries something out to the end; whether the store is still open.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        if self.tasks.is_closed() {
            return false;
        }
        self.tasks.spawn(work);
        true
    }

    /// Finishes what is under way and closes the connections.
    pub(super) async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.shared.pool.close();
    }
}

/// Does groups of calls, one after the other, each on a connection that those who ask may use.
pub(super) struct Lane(Arc<Shared>, Asker);

impl Lane {
    /// Does a group in one transaction and tells each call what became of it. Where one statement of it fails, it is not known
    /// whose fault that is: then each is done by itself.
    pub(super) async fn transact<A: Send + Sync, T>(
        &self,
        (calls, told): Calls<A, T>,
        work: Work<Vec<A>, Vec<Result<T, StoreError>>>,
    ) {
        let count = calls.len();
        let _connection = match self.1 {
            Asker::Own => None,
            Asker::Devices => match self.0.devices.connection().await {
                Ok(connection) => Some(connection),
                Err(busy) => return tell(group::share(busy.into(), count), told),
            },
        };
        let answers = match self.0.done(BEGIN, &calls, work).await {
            Ok(answers) => answers,
            Err(fault) if count > 1 && fault.is_of_statement() => {
                let mut answers = Vec::with_capacity(count);
                for call in calls {
                    let alone = self.0.done(BEGIN, &vec![call], work).await;
                    answers.extend(alone.unwrap_or_else(|fault| group::share(fault, 1)));
                }
                answers
            }
            Err(fault) => group::share(fault, count),
        };
        tell(answers, told);
    }
}

fn tell<T>(answers: Vec<Result<T, StoreError>>, told: Vec<oneshot::Sender<Result<T, StoreError>>>) {
    for (answer, told) in answers.into_iter().zip(told) {
        // Who does not wait any more is not told.
        drop(told.send(answer));
    }
}

impl Shared {
    async fn admit(&self, asker: Asker) -> Result<Admitted<'_>, StoreError> {
        match asker {
            Asker::Own => Ok(Admitted(admit(&self.admitted)?, None)),
            Asker::Devices => self.devices.admit().await,
        }
    }

    async fn session(&self) -> Result<Session, StoreError> {
        let client = self.pool.get().await.map_err(fault::of_pool)?;
        Ok(Session::new(client, self.patience))
    }

    /// A transaction, done again where that may help.
    async fn done<A, T>(&self, begin: &str, args: &A, work: Work<A, T>) -> Result<T, Fault> {
        let mut tries = 1;
        loop {
            let session = self.session().await?;
            match attempt(session, begin, args, work).await {
                Ok(done) => return Ok(done),
                Err(Undone::Again(_)) if tries < TRIES_MAX => {}
                Err(Undone::Again(fault) | Undone::Final(fault)) => return Err(fault),
            }
            back_off(tries).await;
            tries += 1;
        }
    }
}

/// Does a transaction once.
async fn attempt<A, T>(
    session: Session,
    begin: &str,
    args: &A,
    work: Work<A, T>,
) -> Result<T, Undone> {
    if let Err(fault) = session.batch(begin).await {
        session.discard();
        return Err(Undone::Again(fault));
    }
    let fault = match work(&session, args).await {
        Ok(done) => match session.batch("COMMIT").await {
            Ok(()) => return Ok(done),
            Err(fault) if fault.is_collision() => return Err(Undone::Again(fault)),
            Err(fault) => {
                // Whether it was committed is not known.
                session.discard();
                return Err(Undone::Final(fault));
            }
        },
        Err(fault) => fault,
    };
    if fault.is_of_connection() {
        session.discard();
        return Err(Undone::Again(fault));
    }
    if session.batch("ROLLBACK").await.is_err() {
        session.discard();
    }
    Err(if fault.is_collision() {
        Undone::Again(fault)
    } else {
        Undone::Final(fault)
    })
}

/// Waits before another try, longer with each, and not as long as others do.
async fn back_off(tries: u32) {
    let most = BACKOFF_MIN
        .saturating_mul(1 << tries.min(16))
        .min(BACKOFF_MAX);
    let wait = most.mul_f64(rand::rng().random_range(0.5..1.0));
    tokio::time::sleep(wait).await;
}
