//! What becomes of calls when the server, or the way to it, fails them.

use std::time::Duration;

use tokio::sync::oneshot;

use super::super::connect::DatabaseUrl;
use super::super::fault::Fault;
use super::super::session::Session;
use super::super::{PostgresSettings, PostgresStore};
use super::fresh;
use crate::administration::Administration as _;
use crate::configuration::Configuration as _;
use crate::{Store as _, StoreError};

fn url(text: &str) -> DatabaseUrl {
    text.parse().unwrap()
}

#[test]
fn a_password_is_not_shown() {
    for text in [
        "postgres://app:hunter2@db.example.com/push?sslmode=require",
        "postgresql://app:hunter2@a:5432,b:5433/push?target_session_attrs=read-write",
        "postgres://app:hunter2@%2Fvar%2Frun%2Fpostgresql/push",
    ] {
        let url = url(text);
        let shown = format!("{url} {url:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    // What begins like a port or a path to others who read URLs is a password to PostgreSQL.
    for password in [
        "/hunter2",
        "12/hunter2",
        "7#hunter2",
        "hunter2:x",
        "hun:ter2",
    ] {
        let url = url(&format!("postgres://app:{password}@db:5433/push"));
        assert_eq!(url.to_string(), "postgres://app:***@db:5433/push");
        assert!(!format!("{url:?}").contains("ter2"), "{url:?}");
    }
    let question = "postgres://app:hun?ter2@db/push".parse::<DatabaseUrl>();
    let told = question.unwrap_err().to_string();
    assert!(told.contains("%3F") && !told.contains("ter2"), "{told}");
    let wrong = "postgres://app:hunter2@db/push?connect_timeout=soon".parse::<DatabaseUrl>();
    let wrong = wrong.unwrap_err();
    let told = format!("{wrong} {wrong:?}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn what_is_no_url_is_told() {
    for (text, why) in [
        ("mysql://x/y", "must be postgres://"),
        ("postgres://", "must be postgres://"),
        ("postgres://x/y?sslmode=maybe", "sslmode must be"),
        ("postgres://x/y?nonsense=1", "nonsense"),
    ] {
        let told = text.parse::<DatabaseUrl>().unwrap_err().to_string();
        assert!(told.contains(why), "{text}: {told}");
    }
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = url(&format!("postgres://app:hunter2@127.0.0.1:{port}/push"));
    let opened = PostgresStore::open(&url, PostgresSettings::default()).await;
    let told = format!("{:?}", opened.as_ref().map(|_| ()));
    assert!(matches!(opened, Err(StoreError::Unavailable(_))), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn a_database_of_a_newer_heliostat_is_left_alone() {
    let Some((store, schema)) = fresh(PostgresSettings::default()).await else {
        return;
    };
    let session = store.sessions.session().await.unwrap();
    // One that says that this one may still work on it, and one that says it may not.
    session
        .batch("UPDATE heliostat_schema SET version = 1000")
        .await
        .unwrap();
    let again = PostgresStore::open(&schema.url(), PostgresSettings::default()).await;
    again.unwrap().check().await.unwrap();
    session
        .batch("UPDATE heliostat_schema SET oldest = 1000")
        .await
        .unwrap();
    let refused = PostgresStore::open(&schema.url(), PostgresSettings::default()).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(why)) if why.contains("newer")));
    let version: i32 = session
        .known("SELECT version FROM heliostat_schema", &[])
        .await
        .unwrap();
    assert_eq!(version, 1000);
}

#[tokio::test]
async fn nodes_that_start_together_migrate_once() {
    let Some(schema) = super::Schema::create().await else {
        return;
    };
    let url: DatabaseUrl = schema.url();
    let nodes = (0..6).map(|_| PostgresStore::open(&url, PostgresSettings::default()));
    for opened in futures_util::future::join_all(nodes).await {
        opened.unwrap().check().await.unwrap();
    }
}

/// Waits for a lock that somebody holds.
async fn wait_for_lock(session: &Session) -> Result<(), Fault> {
    session.batch("SELECT pg_advisory_xact_lock(7)").await
}

#[tokio::test]
async fn who_waits_too_long_for_a_lock_is_told_that_it_is_busy() {
    let settings = PostgresSettings {
        lock_timeout: Duration::from_millis(50),
        ..PostgresSettings::default()
    };
    let Some((store, _schema)) = fresh(settings).await else {
        return;
    };
    let holder = store.sessions.session().await.unwrap();
    holder.batch("BEGIN").await.unwrap();
    holder.batch("LOCK TABLE checks").await.unwrap();
    assert!(matches!(store.check().await, Err(StoreError::Busy)));
    holder.batch("ROLLBACK").await.unwrap();
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_given_up() {
    let settings = PostgresSettings {
        statement_timeout: Duration::from_millis(50),
        ..PostgresSettings::default()
    };
    let Some((store, _schema)) = fresh(settings).await else {
        return;
    };
    let slept = store
        .sessions
        .write((), |s, ()| Box::pin(s.batch("SELECT pg_sleep(60)")))
        .await;
    assert!(matches!(slept, Err(StoreError::Busy)), "{slept:?}");
    store.check().await.unwrap();
}

#[tokio::test]
async fn scrubbing_takes_longer_than_a_statement_may() {
    let settings = PostgresSettings {
        connections_max: 2,
        statement_timeout: Duration::from_millis(500),
        lock_timeout: Duration::from_secs(60),
        ..PostgresSettings::default()
    };
    let Some((store, _schema)) = fresh(settings).await else {
        return;
    };
    let holder = store.sessions.session().await.unwrap();
    holder.batch("BEGIN").await.unwrap();
    holder.batch("LOCK TABLE audit").await.unwrap();
    let released = async {
        // Longer than a statement may take, in statements that do not.
        for _ in 0..3 {
            holder.batch("SELECT pg_sleep(0.3)").await.unwrap();
        }
        holder.batch("ROLLBACK").await.unwrap();
    };
    let (scrubbed, ()) = tokio::join!(store.scrub(), released);
    scrubbed.unwrap();
    drop(holder);
    // It holds for both connections again.
    let sessions = [
        store.sessions.session().await.unwrap(),
        store.sessions.session().await.unwrap(),
    ];
    for session in &sessions {
        let limit = session.known::<String>("SHOW statement_timeout", &[]).await;
        assert_eq!(limit.unwrap(), "500ms");
    }
}

#[tokio::test]
async fn more_calls_than_may_wait_are_refused() {
    let settings = PostgresSettings {
        connections_max: 1,
        queue_length: 1,
        wait_timeout: Duration::from_millis(50),
        ..PostgresSettings::default()
    };
    let Some((store, _schema)) = fresh(settings).await else {
        return;
    };
    let only = store.sessions.session().await.unwrap();
    // The first waits for the connection in vain; the second may not even wait.
    let (first, second) = tokio::join!(store.check(), store.check());
    assert!(matches!(first, Err(StoreError::Busy)), "{first:?}");
    assert!(matches!(second, Err(StoreError::Busy)), "{second:?}");
    drop(only);
    store.check().await.unwrap();
}

#[tokio::test]
async fn connections_that_were_cut_are_made_anew() {
    let Some((killer, schema)) = fresh(PostgresSettings::default()).await else {
        return;
    };
    let name = format!("cut_{}", uuid::Uuid::new_v4().simple());
    let named = url(&format!(
        "{}&application_name={name}",
        schema.url::<String>()
    ));
    let store = PostgresStore::open(&named, PostgresSettings::default());
    let store = store.await.unwrap();
    let killer = killer.sessions.session().await.unwrap();
    for _ in 0..5 {
        futures_util::future::join_all((0..8).map(|_| store.check())).await;
        let cut = killer
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1",
                &[&name],
            )
            .await
            .unwrap();
        assert!(cut > 0);
        // Neither a write nor a read is told of it.
        store.check().await.unwrap();
        store.configuration_version().await.unwrap();
    }
}

#[tokio::test]
async fn a_deadlock_is_done_again() {
    let Some((store, _schema)) = fresh(PostgresSettings::default()).await else {
        return;
    };
    let other = store.sessions.session().await.unwrap();
    // Gives up last, so that it is the other side that is undone.
    other.batch("SET deadlock_timeout = '60s'").await.unwrap();
    other.batch("BEGIN").await.unwrap();
    other
        .batch("SELECT pg_advisory_xact_lock(7)")
        .await
        .unwrap();
    let crossing = store.sessions.write((), |s, ()| {
        Box::pin(async move {
            s.batch("UPDATE checks SET number = number + 1").await?;
            wait_for_lock(s).await
        })
    });
    let (locked, is_locked) = oneshot::channel();
    let blocking = async {
        // As soon as the crossing waits for the lock, this waits for the row.
        loop {
            let waits: i64 = {
                let session = store.sessions.session().await.unwrap();
                let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 7
                              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
                session.known(sql, &[]).await.unwrap()
            };
            if waits > 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
        locked.send(()).unwrap();
        other
            .batch("UPDATE checks SET number = number + 10")
            .await
            .unwrap();
        other.batch("COMMIT").await.unwrap();
    };
    let (crossed, (), waited) = tokio::join!(crossing, blocking, is_locked);
    waited.unwrap();
    crossed.unwrap();
    let session = store.sessions.session().await.unwrap();
    let number: i64 = session
        .known("SELECT number FROM checks", &[])
        .await
        .unwrap();
    assert_eq!(number, 11);
}
