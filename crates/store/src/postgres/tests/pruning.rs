//! What is removed is removed in pieces of a bounded size, and what is to be removed calls nobody.

use domain::clock::Timestamp;

use super::super::{prune, retries};
use super::{PostgresSettings, fresh};

/// More than one piece removes.
const USERS: i64 = 25_000;

#[tokio::test]
async fn outcomes_of_very_many_users_go_piece_by_piece() {
    let Some((store, _schema)) = fresh(PostgresSettings::default()).await else {
        return;
    };
    let session = store.sessions.session().await.unwrap();
    session
        .batch(&format!(
            "INSERT INTO publishes (instance, id, state, accepted_at, finished_at, named, named_count)
                VALUES (1, gen_random_uuid(), 'finished', 0, 0, 'users', {USERS});
             INSERT INTO user_tallies (instance, publish, user_number, accepted, failed)
                SELECT 1, 1, n, 1, 0 FROM generate_series(1, {USERS}) AS n"
        ))
        .await
        .unwrap();
    let (mut left, mut pieces) = (USERS, 0);
    loop {
        let piece = prune::publishes(&session, Timestamp::from_secs(1), 10)
            .await
            .unwrap();
        let now: i64 = session
            .known("SELECT count(*) FROM user_tallies", &[])
            .await
            .unwrap();
        assert!(left - now <= 10_000, "{left} to {now}");
        (left, pieces) = (now, pieces + 1);
        if piece.done {
            assert_eq!(piece.publishes, 1);
            break;
        }
    }
    assert_eq!((left, pieces), (0, 3));
}

#[tokio::test]
async fn nobody_is_called_for_retries_of_a_deleted_instance() {
    let Some((store, _schema)) = fresh(PostgresSettings::default()).await else {
        return;
    };
    let session = store.sessions.session().await.unwrap();
    let now = Timestamp::from_secs(1);
    session
        .batch(
            "SET session_replication_role = replica;
             INSERT INTO instances (id, name, vapid_public_key, vapid_private_key, created_at)
                VALUES (gen_random_uuid(), 'an app', '', '', 0);
             INSERT INTO retries (instance, publish, device, attempts, due_at, reason) VALUES (1, 1, 1, 1, 0, 'x');
             SET session_replication_role = origin",
        )
        .await
        .unwrap();
    assert!(retries::next_due(&session, now).await.unwrap().is_some());
    session
        .batch("UPDATE instances SET deleted_by = pg_current_xact_id()")
        .await
        .unwrap();
    assert_eq!(retries::next_due(&session, now).await.unwrap(), None);
}
