-- The first schema.
--
-- Every thing has a number of its own (an integer that never repeats: AUTOINCREMENT) that other tables point at, and a
-- random id that the outside knows. Times are milliseconds since the Unix epoch.

-- One row: counters of the whole store.
CREATE TABLE store (
    only                  INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    -- Grows with every change of an instance, secret key or credential.
    configuration_version INTEGER NOT NULL,
    -- Written by readiness checks.
    checks                INTEGER NOT NULL
) STRICT;
INSERT INTO store (only, configuration_version, checks) VALUES (1, 1, 0);

CREATE TABLE instances (
    instance          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id                BLOB    NOT NULL,
    name              TEXT    NOT NULL,
    vapid_public_key  BLOB    NOT NULL,
    vapid_private_key BLOB    NOT NULL,
    created_at        INTEGER NOT NULL,
    -- 1 while the rows of a deleted instance are being removed in pieces; nobody sees it any more.
    deleted           INTEGER NOT NULL DEFAULT 0 CHECK (deleted IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX instances_by_id ON instances (id) WHERE deleted = 0;
CREATE INDEX instances_deleted ON instances (instance) WHERE deleted = 1;

CREATE TABLE secret_keys (
    secret_key INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    instance   INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
    sealed     BLOB    NOT NULL,
    hint       TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX secret_keys_by_instance ON secret_keys (instance);

CREATE TABLE credentials (
    instance      INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
    platform      TEXT    NOT NULL CHECK (platform IN ('apns', 'fcm', 'web')),
    sealed        BLOB    NOT NULL,
    summary       TEXT    NOT NULL,
    -- The configuration version at which it was set.
    version       INTEGER NOT NULL,
    set_at        INTEGER NOT NULL,
    broken_since  INTEGER,
    broken_reason TEXT,
    PRIMARY KEY (instance, platform),
    CHECK ((broken_since IS NULL) = (broken_reason IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    user_number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    instance    INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
    id          TEXT    NOT NULL,
    UNIQUE (instance, id)
) STRICT;

CREATE TABLE devices (
    device        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    instance      INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
    id            BLOB    NOT NULL,
    platform      TEXT    NOT NULL CHECK (platform IN ('apns', 'fcm', 'web')),
    -- The gateway token in its two parts: what tells it from others, and the keys of a browser's subscription.
    identity      TEXT    NOT NULL,
    keys          BLOB,
    bundle_id     TEXT,
    -- Which of Apple's gateways took the token last.
    environment   TEXT    NOT NULL DEFAULT 'production' CHECK (environment IN ('production', 'sandbox')),
    metadata      TEXT    NOT NULL,
    user_number   INTEGER REFERENCES users,
    created_at    INTEGER NOT NULL,
    registered_at INTEGER NOT NULL,
    UNIQUE (instance, id),
    UNIQUE (instance, platform, identity)
) STRICT;
-- The platform rides along so that a user's devices of a platform are counted in the index alone.
CREATE INDEX devices_by_user ON devices (user_number, device, platform) WHERE user_number IS NOT NULL;

-- A user without devices is nobody.
CREATE TRIGGER users_without_devices AFTER DELETE ON devices WHEN OLD.user_number IS NOT NULL
BEGIN
    DELETE FROM users
     WHERE user_number = OLD.user_number
       AND NOT EXISTS (SELECT 1 FROM devices WHERE user_number = OLD.user_number);
END;

CREATE TABLE interests (
    interest INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    instance INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
    name     TEXT    NOT NULL,
    UNIQUE (instance, name)
) STRICT;

-- In this order the subscribers of an interest come out ascending by device, which is what fan-out merges.
CREATE TABLE subscriptions (
    interest INTEGER NOT NULL REFERENCES interests ON DELETE CASCADE,
    device   INTEGER NOT NULL REFERENCES devices ON DELETE CASCADE,
    PRIMARY KEY (interest, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX subscriptions_by_device ON subscriptions (device, interest);

-- Anybody may subscribe to any name, so a name that nobody uses any more must not stay.
CREATE TRIGGER interests_without_subscriptions AFTER DELETE ON subscriptions
BEGIN
    DELETE FROM interests
     WHERE interest = OLD.interest
       AND NOT EXISTS (SELECT 1 FROM subscriptions WHERE interest = OLD.interest);
END;

CREATE TABLE publishes (
    publish     INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    instance    INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
    id          BLOB    NOT NULL UNIQUE,
    accepted_at INTEGER NOT NULL,
    finished_at INTEGER,
    delivered   INTEGER NOT NULL DEFAULT 0,
    opened      INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX publishes_by_instance ON publishes (instance, publish);
CREATE INDEX publishes_finished ON publishes (finished_at) WHERE finished_at IS NOT NULL;

-- What a publish carries and whom it is for. Apart from `publishes`, whose rows change, since an update writes a row whole.
CREATE TABLE payloads (
    publish  INTEGER NOT NULL PRIMARY KEY REFERENCES publishes ON DELETE CASCADE,
    -- How `payloads` and `audience` are written.
    format   INTEGER NOT NULL,
    payloads TEXT    NOT NULL,
    -- Numbers of interests or users.
    audience BLOB    NOT NULL
) STRICT;

CREATE TABLE jobs (
    job          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    publish      INTEGER NOT NULL REFERENCES publishes ON DELETE CASCADE,
    -- The devices after `cursor` up to `range_end` are to do.
    cursor       INTEGER NOT NULL,
    range_end    INTEGER NOT NULL,
    fence        INTEGER NOT NULL DEFAULT 0,
    owner        BLOB,
    leased_until INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX jobs_by_publish ON jobs (publish);

CREATE TABLE retries (
    retry        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    publish      INTEGER NOT NULL REFERENCES publishes ON DELETE CASCADE,
    device       INTEGER NOT NULL REFERENCES devices ON DELETE CASCADE,
    attempts     INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    reason       TEXT    NOT NULL,
    fence        INTEGER NOT NULL DEFAULT 0,
    owner        BLOB,
    leased_until INTEGER NOT NULL DEFAULT 0,
    UNIQUE (publish, device)
) STRICT;
CREATE INDEX retries_by_due ON retries (due_at, retry, leased_until);
CREATE INDEX retries_by_device ON retries (device);

-- Publishes that may have lost their last retry together with a device: to be looked at by whoever comes with a clock.
CREATE TABLE emptied (
    publish INTEGER NOT NULL PRIMARY KEY REFERENCES publishes ON DELETE CASCADE
) STRICT;

CREATE TABLE tallies (
    publish  INTEGER NOT NULL REFERENCES publishes ON DELETE CASCADE,
    platform TEXT    NOT NULL,
    outcome  TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    count    INTEGER NOT NULL,
    PRIMARY KEY (publish, platform, outcome, reason)
) STRICT, WITHOUT ROWID;

-- `device` points at no row: what a device reported counts after the device is gone, and numbers do not repeat.
CREATE TABLE events (
    publish INTEGER NOT NULL REFERENCES publishes ON DELETE CASCADE,
    kind    TEXT    NOT NULL CHECK (kind IN ('delivery', 'open')),
    device  INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (publish, kind, device)
) STRICT, WITHOUT ROWID;
