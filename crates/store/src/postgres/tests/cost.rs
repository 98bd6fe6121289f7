//! What pages cost with a million devices, in blocks that were looked at rather than time.

use serde_json::Value;

use super::super::audience::{RECIPIENTS, SUBSCRIBERS};
use super::super::count;
use super::super::session::{Columns as _, Session};
use super::{PostgresSettings, fresh};

const DEVICES: i64 = 1_000_000;

/// Devices that are all subscribed to one interest, every third to another, and every thousandth to a third.
const FILL: &str = "
    SET statement_timeout = 0;
    SET session_replication_role = replica;
    INSERT INTO instances (id, name, vapid_public_key, vapid_private_key, created_at)
        VALUES (gen_random_uuid(), 'an app', '', '', 0);
    INSERT INTO devices (instance, id, platform, identity, digest, metadata, created_at, registered_at)
        SELECT 1, gen_random_uuid(), 'fcm', 'token-' || n, sha256(n::text::bytea), '{}', 0, 0
          FROM generate_series(1, 1000000) AS n;
    INSERT INTO interests (instance, name) VALUES (1, 'all'), (1, 'some'), (1, 'few');
    INSERT INTO subscriptions (instance, interest, device)
        SELECT 1, i, d FROM generate_series(1, 1000000) AS d
         CROSS JOIN LATERAL (VALUES (1, 1), (2, 3), (3, 1000)) AS v (i, every) WHERE d % every = 0;
    SET session_replication_role = origin;
    VACUUM ANALYZE devices; VACUUM ANALYZE subscriptions";

/// Blocks that a statement looked at.
async fn blocks(session: &Session, sql: &str, values: &str) -> i64 {
    session
        .batch(&format!("PREPARE costed AS {sql}"))
        .await
        .unwrap();
    let plan: Value = session
        .plan(&format!(
            "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE costed({values})"
        ))
        .await
        .unwrap();
    session.batch("DEALLOCATE costed").await.unwrap();
    let plan = &plan[0]["Plan"];
    let number = |name: &str| plan[name].as_i64().unwrap();
    number("Shared Hit Blocks") + number("Shared Read Blocks")
}

#[tokio::test]
async fn a_page_costs_the_same_wherever_it_lies() {
    let Some((store, _schema)) = fresh(PostgresSettings::default()).await else {
        return;
    };
    let session = store.sessions.session().await.unwrap();
    for statement in FILL.split(';') {
        session.patiently(statement).await.unwrap();
    }
    let mut pages = Vec::new();
    for after in [0, DEVICES / 2, DEVICES - 2_000] {
        let values = format!(
            "1, ARRAY[1, 2, 3]::bigint[], ARRAY[{after}, {after}, {after}]::bigint[], \
             ARRAY[1000, 400, 8]::bigint[], {DEVICES}"
        );
        let numbers: Vec<String> = (after..after + 1000).map(|n| n.to_string()).collect();
        let devices = format!("1, ARRAY[{}]::bigint[]", numbers.join(","));
        pages.push((
            blocks(&session, SUBSCRIBERS, &values).await,
            blocks(&session, RECIPIENTS, &devices).await,
        ));
    }
    for (subscribers, recipients) in &pages {
        // 1,400 entries of some three hundred in a block; a thousand devices by their key.
        assert!(*subscribers < 60, "{pages:?}");
        assert!(*recipients < 5_000, "{pages:?}");
    }
    let most = pages.iter().map(|page| page.0 + page.1).max().unwrap();
    let least = pages.iter().map(|page| page.0 + page.1).min().unwrap();
    assert!(most <= least + least / 4, "{pages:?}");
    // Where an audience begins and ends is read from the ends of the index.
    let audience = crate::publishes::ResolvedAudience::Interests(vec![1, 2, 3]);
    let bounds = super::super::audience::bounds(&audience);
    let cost = blocks(&session, bounds, "1, ARRAY[1, 2, 3]::bigint[]").await;
    assert!(cost < 60, "{cost} blocks");
    let counted = super::super::audience::counted(&audience);
    let cost = blocks(&session, counted, "1, ARRAY[1, 2, 3]::bigint[], 1001").await;
    assert!(cost < 60, "{cost} blocks");
    let row = session
        .row("SELECT count(*) FROM devices", &[])
        .await
        .unwrap();
    assert_eq!(row.unwrap().at::<i64>(0).unwrap(), DEVICES);
    let piece = count::piece(
        &session,
        1,
        &audience,
        domain::device::DeviceOrdinal(DEVICES - 500),
        count::PIECE,
    );
    let (after, counts) = piece.await.unwrap();
    assert_eq!((after, counts[0].1), (None, 500));
}
