//! What a page costs, in rows and statements rather than time.

use domain::device::{DeviceOrdinal, Platform};
use rusqlite::Connection;
use uuid::Uuid;

use super::{Folder, NOW, instance, subscribers, to_news};
use crate::Store as _;
use crate::lookup::AudienceCount;
use crate::publishes::{Lease, Plan, ResolvedAudience};
use crate::sqlite::audience::{self, Window};
use crate::sqlite::count;

const DEVICES: i64 = 20_000;
const INTERESTS: i64 = 100;

/// Devices of which each has three of a hundred interests, and every thirtieth all.
fn fill(connection: &Connection) {
    connection
        .execute_batch(&format!(
            "BEGIN;
             INSERT INTO instances (id, name, vapid_public_key, vapid_private_key, created_at) VALUES (x'01', 'a', x'', x'', 0);
             WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < {DEVICES})
             INSERT INTO devices (instance, id, platform, identity, metadata, created_at, registered_at)
                SELECT 1, randomblob(16), 'fcm', 'token' || n, '{{}}', 0, 0 FROM n;
             WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < {INTERESTS})
             INSERT INTO interests (instance, name) SELECT 1, 'i' || n FROM n;
             INSERT INTO subscriptions (interest, device)
                SELECT i.interest, d.device FROM interests i CROSS JOIN devices d
                 WHERE d.device % 30 = 0 OR (d.device * 7 + i.interest) % 33 = 0;
             COMMIT"
        ))
        .unwrap();
}

#[test]
fn counting_goes_on_piece_by_piece() {
    let folder = Folder::new();
    let connection = super::connect(&folder.path());
    fill(&connection);
    let audience = ResolvedAudience::Interests(vec![1, 2, 3]);
    let expected: i64 = connection
        .query_row(
            "SELECT count(DISTINCT device) FROM subscriptions WHERE interest IN (1, 2, 3)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let expected = u64::try_from(expected).unwrap();
    let mut counted = AudienceCount::default();
    let (mut after, mut pieces) = (Some(DeviceOrdinal::default()), 0);
    while let Some(from) = after {
        after = count::piece(
            &connection,
            &audience,
            from,
            500,
            &Platform::ALL,
            &mut counted,
        )
        .unwrap();
        pieces += 1;
    }
    assert_eq!(counted.devices(Platform::Fcm), expected);
    assert_eq!(pieces, expected / 500 + 1);
}

#[test]
fn a_page_costs_the_same_anywhere() {
    let folder = Folder::new();
    let connection = super::connect(&folder.path());
    fill(&connection);
    let subscriptions: i64 = connection
        .query_row("SELECT count(*) FROM subscriptions", [], |row| row.get(0))
        .unwrap();
    assert!(subscriptions > 100_000);
    for count in [1_i64, 10, INTERESTS] {
        let audience = ResolvedAudience::Interests((1..=count).collect());
        let sources = usize::try_from(count).unwrap();
        for limit in [10_usize, 100, 1000] {
            for after in [0, DEVICES / 2, DEVICES - 3000, DEVICES - 1] {
                let window = Window {
                    after: DeviceOrdinal(after),
                    end: DeviceOrdinal(DEVICES),
                    limit,
                };
                let (page, cost) =
                    audience::page(&connection, &audience, window, [true; 3]).unwrap();
                assert!(page.recipients.len() <= limit);
                // A device may come up in each of the sources; those of this set do so in every thirtieth case at most,
                // and then cost one row for each.
                let merged = limit * 3 + limit / 30 * sources + sources;
                let rows_max = merged + sources * (2 * limit / sources).max(8) + sources;
                assert!(
                    cost.rows <= rows_max,
                    "{} rows of at most {rows_max}: {count} interests, limit {limit}, after {after}",
                    cost.rows
                );
                let seeks_max = 2 * sources + cost.rows / 8;
                assert!(
                    cost.seeks <= seeks_max,
                    "{} statements of {seeks_max}",
                    cost.seeks
                );
            }
        }
    }
}

#[tokio::test]
async fn few_devices_come_with_their_job() {
    let folder = Folder::new();
    let store = folder.open().await;
    let instance = instance(&store).await;
    subscribers(&store, instance, 4).await;
    for first_page_max in [4, 3] {
        let plan = Plan {
            job_span: 100,
            jobs_max: 1,
            lease: Some(Lease {
                owner: Uuid::new_v4(),
                until: NOW,
            }),
            first_page_max,
        };
        let accepted = store.create_publish(to_news(instance), plan).await;
        let jobs = accepted.unwrap().into_jobs();
        assert_eq!(jobs[0].first_page.is_some(), first_page_max == 4);
    }
}
