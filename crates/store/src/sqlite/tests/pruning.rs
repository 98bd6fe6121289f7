//! What is removed is removed in pieces of a bounded size.

use super::{Folder, NOW, connect};
use crate::sqlite::prune;

/// More than one piece removes.
const USERS: i64 = 25_000;

#[test]
fn outcomes_of_very_many_users_go_piece_by_piece() {
    let folder = Folder::new();
    let connection = connect(&folder.path());
    connection
        .execute_batch(&format!(
            "INSERT INTO instances (id, name, vapid_public_key, vapid_private_key, created_at) VALUES (x'01', 'a', x'', x'', 0);
             INSERT INTO publishes (instance, id, accepted_at, finished_at, state) VALUES (1, x'02', 0, 0, 'finished');
             WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < {USERS})
             INSERT INTO user_tallies (publish, user_number, accepted, failed) SELECT 1, n, 1, 0 FROM n"
        ))
        .unwrap();
    let (mut left, mut pieces) = (USERS, 0);
    loop {
        let piece = prune::publishes(&connection, NOW, 10).unwrap();
        let now: i64 = connection
            .query_row("SELECT count(*) FROM user_tallies", [], |row| row.get(0))
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
