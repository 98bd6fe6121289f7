//! What can go wrong between us and PostgreSQL, until it is told in the words of [`StoreError`].

use deadpool_postgres::PoolError;
use deadpool_postgres::tokio_postgres::error::SqlState;
use tokio_postgres::Error;

use crate::StoreError;

/// Why a piece of work came to nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// What the database or the way to it said.
    Database(Error),
    /// The database has not answered in time.
    Silent,
    /// What was looked at before has changed meanwhile.
    Overtaken,
    /// What we have to say.
    Store(StoreError),
}

/// What the database said, in one line. Without the detail, which may quote what is stored.
#[derive(thiserror::Error)]
#[error("{}", words(.0))]
struct Said(Error);

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Said({self})")
    }
}

fn words(error: &Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", said.message(), said.code().code());
    }
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Store(StoreError::Unavailable(Box::new(error)))
    }
}

/// A [`StoreError::Corrupt`] with a sentence of our own.
pub(super) fn corrupt(what: impl Into<String>) -> Fault {
    Fault::Store(StoreError::Corrupt(what.into()))
}

/// An [`StoreError::Unavailable`] with a sentence of our own.
pub(super) fn unavailable(what: impl Into<String>) -> StoreError {
    StoreError::Unavailable(what.into().into())
}

/// Of transactions that got into each other's way, one was undone: it may just be done again. So it is where two wrote the
/// same key, or one removed what another was about to point at: looked at again, it is there, or gone.
const COLLISIONS: [SqlState; 4] = [
    SqlState::T_R_SERIALIZATION_FAILURE,
    SqlState::T_R_DEADLOCK_DETECTED,
    SqlState::UNIQUE_VIOLATION,
    SqlState::FOREIGN_KEY_VIOLATION,
];
/// The server gave up for want of time or room.
const OVERLOADS: [SqlState; 5] = [
    SqlState::QUERY_CANCELED,
    SqlState::LOCK_NOT_AVAILABLE,
    SqlState::TOO_MANY_CONNECTIONS,
    SqlState::OUT_OF_MEMORY,
    SqlState::CONFIGURATION_LIMIT_EXCEEDED,
];

impl Fault {
    fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Database(error) => error.code(),
            Self::Silent | Self::Overtaken | Self::Store(_) => None,
        }
    }

    /// Whether the transaction was undone only because of another.
    pub(super) fn is_collision(&self) -> bool {
        matches!(self, Self::Overtaken) || self.code().is_some_and(|code| COLLISIONS.contains(code))
    }

    /// Whether the server refused a statement for what it says, not for where things stand.
    pub(super) fn is_of_statement(&self) -> bool {
        self.code().is_some_and(|code| !OVERLOADS.contains(code))
            && !self.is_collision()
            && !self.is_of_connection()
    }

    /// Whether the connection is no good any more: it is gone, or the server behind it is ending, starting, or takes no
    /// writes since another is the primary now.
    pub(super) fn is_of_connection(&self) -> bool {
        match self {
            Self::Store(_) | Self::Overtaken => false,
            Self::Silent => true,
            Self::Database(error) => match error.code() {
                None => true,
                Some(code) => {
                    *code == SqlState::READ_ONLY_SQL_TRANSACTION
                        || *code == SqlState::ADMIN_SHUTDOWN
                        || *code == SqlState::CRASH_SHUTDOWN
                        || *code == SqlState::CANNOT_CONNECT_NOW
                        || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
                        || code.code().starts_with("08")
                }
            },
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        let collided = fault.is_collision();
        match fault {
            Fault::Store(error) => error,
            Fault::Overtaken => Self::Busy,
            Fault::Silent => unavailable("the database does not answer"),
            Fault::Database(error) => match error.code() {
                _ if collided => Self::Busy,
                Some(code) if OVERLOADS.contains(code) => Self::Busy,
                Some(code)
                    if *code == SqlState::DATA_CORRUPTED || *code == SqlState::INDEX_CORRUPTED =>
                {
                    Self::Corrupt(words(&error))
                }
                _ => Self::Unavailable(Box::new(Said(error))),
            },
        }
    }
}

/// What came of asking for a connection.
pub(super) fn of_pool(error: PoolError) -> StoreError {
    match error {
        // All connections are in use, and have been for as long as we wait.
        PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => StoreError::Busy,
        PoolError::Backend(error) => Fault::Database(error).into(),
        PoolError::Closed => unavailable("the store is closed"),
        other => StoreError::Unavailable(Box::new(other)),
    }
}
