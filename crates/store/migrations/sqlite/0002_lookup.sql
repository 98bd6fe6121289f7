-- Publishes that can be looked up, scheduled, cancelled, repeated without being done again, and replayed.

ALTER TABLE publishes ADD COLUMN state TEXT NOT NULL DEFAULT 'running'
    CHECK (state IN ('scheduled', 'running', 'finished', 'cancelled'));
-- When it is sent, where that is later than it was accepted.
ALTER TABLE publishes ADD COLUMN send_at INTEGER;
ALTER TABLE publishes ADD COLUMN expires_at INTEGER;
-- What was named, and how many of it. 'failures': the devices that the publish `replay_of` failed for.
ALTER TABLE publishes ADD COLUMN named TEXT NOT NULL DEFAULT 'interests'
    CHECK (named IN ('interests', 'users', 'failures'));
ALTER TABLE publishes ADD COLUMN named_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE publishes ADD COLUMN replay_of INTEGER;
UPDATE publishes SET state = 'finished' WHERE finished_at IS NOT NULL;
UPDATE publishes SET (named, named_count) =
    (SELECT CASE substr(audience, 1, 1) WHEN x'02' THEN 'users' ELSE 'interests' END, (length(audience) - 1) / 8
       FROM payloads WHERE payloads.publish = publishes.publish);
-- Most are finished; those are found among all.
CREATE INDEX publishes_running ON publishes (instance, publish) WHERE state = 'running';
CREATE INDEX publishes_scheduled ON publishes (instance, publish) WHERE state = 'scheduled';
CREATE INDEX publishes_cancelled ON publishes (instance, publish) WHERE state = 'cancelled';
CREATE INDEX publishes_replayed ON publishes (replay_of) WHERE replay_of IS NOT NULL AND finished_at IS NULL;

-- The users that were named, as JSON: [[id, user_number or null], …], ascending by the id's bytes.
ALTER TABLE payloads ADD COLUMN users TEXT;

-- Publishes that wait for their time, with the names that are resolved then, as JSON.
CREATE TABLE scheduled (
    publish  INTEGER NOT NULL PRIMARY KEY REFERENCES publishes ON DELETE CASCADE,
    send_at  INTEGER NOT NULL,
    audience TEXT    NOT NULL
) STRICT;
CREATE INDEX scheduled_by_time ON scheduled (send_at, publish);

-- Whose delivery it is, where the publish is to users.
ALTER TABLE retries ADD COLUMN user_number INTEGER;

-- What became of a publish for a user. `user_number` points at no row: users go, and their numbers do not repeat. Negative, it is
-- a place in the list of the publish.
CREATE TABLE user_tallies (
    publish     INTEGER NOT NULL REFERENCES publishes ON DELETE CASCADE,
    user_number INTEGER NOT NULL,
    accepted    INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    PRIMARY KEY (publish, user_number)
) STRICT, WITHOUT ROWID;

-- Deliveries that ended without having been taken. `device` points at no row; what is told of it was so when it failed.
CREATE TABLE failures (
    publish   INTEGER NOT NULL REFERENCES publishes ON DELETE CASCADE,
    device    INTEGER NOT NULL,
    id        BLOB    NOT NULL,
    platform  TEXT    NOT NULL,
    user      TEXT,
    outcome   TEXT    NOT NULL,
    reason    TEXT    NOT NULL,
    failed_at INTEGER NOT NULL,
    PRIMARY KEY (publish, device)
) STRICT, WITHOUT ROWID;

-- Keys of requests that made a publish. `id` points at no row: a key counts for its time, whatever becomes of the publish.
CREATE TABLE request_keys (
    instance    INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    id          BLOB    NOT NULL,
    used_at     INTEGER NOT NULL,
    PRIMARY KEY (instance, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_keys_by_time ON request_keys (used_at);
