-- The first schema.
--
-- Every thing has a number of its own (an identity that never repeats) that other tables point at, and a random id that the
-- outside knows. Times are milliseconds since the Unix epoch, told by whoever calls; the server's own clock is never read. Texts
-- are compared byte by byte.
--
-- Keys begin with the instance, by which these tables would be sharded. The two queues, `jobs` and `retries`, are the
-- exception: they are claimed across instances and addressed by their own number.
--
-- Foreign keys stand only where they close a gap between transactions (a subscription and the last of an interest, a binding
-- and the last of a user, a retry and its device). Elsewhere every insert would lock one and the same row, that of the
-- instance or the publish, for nothing: those are never removed before all that belongs to them.

-- One row: counters of the whole store.
CREATE TABLE store (
    one                   boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    -- Grows with every change of an instance, secret key or credential.
    configuration_version bigint  NOT NULL
) WITH (fillfactor = 50);
INSERT INTO store (configuration_version) VALUES (1);

-- One row, written by readiness checks.
CREATE TABLE checks (
    one    boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    number bigint  NOT NULL
) WITH (fillfactor = 50);
INSERT INTO checks (number) VALUES (0);

CREATE TABLE instances (
    instance          bigint  NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    id                uuid    NOT NULL,
    name              text    COLLATE "C" NOT NULL,
    vapid_public_key  bytea   NOT NULL,
    vapid_private_key bytea   NOT NULL,
    created_at        bigint  NOT NULL,
    -- The transaction that deleted it: nobody sees it any more, and its rows are being removed in pieces. The row itself goes
    -- when no transaction is left that may have seen it before.
    deleted_by        xid8
);
CREATE UNIQUE INDEX instances_by_id ON instances (id) WHERE deleted_by IS NULL;
CREATE INDEX instances_deleted ON instances (instance) WHERE deleted_by IS NOT NULL;

CREATE TABLE secret_keys (
    instance   bigint NOT NULL REFERENCES instances ON DELETE CASCADE,
    secret_key bigint NOT NULL UNIQUE GENERATED ALWAYS AS IDENTITY,
    sealed     bytea  NOT NULL,
    hint       text   NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (instance, secret_key)
);

CREATE TABLE credentials (
    instance      bigint NOT NULL REFERENCES instances ON DELETE CASCADE,
    platform      text   COLLATE "C" NOT NULL CHECK (platform IN ('apns', 'fcm', 'web')),
    sealed        bytea  NOT NULL,
    summary       text   NOT NULL,
    -- The configuration version at which it was set.
    version       bigint NOT NULL,
    set_at        bigint NOT NULL,
    broken_since  bigint,
    broken_reason text,
    PRIMARY KEY (instance, platform),
    CHECK ((broken_since IS NULL) = (broken_reason IS NULL))
);

CREATE TABLE users (
    instance    bigint NOT NULL,
    user_number bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    id          text   COLLATE "C" NOT NULL,
    PRIMARY KEY (instance, user_number),
    UNIQUE (instance, id)
);

CREATE TABLE devices (
    instance      bigint NOT NULL,
    device        bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    id            uuid   NOT NULL,
    platform      text   COLLATE "C" NOT NULL CHECK (platform IN ('apns', 'fcm', 'web')),
    -- The gateway token in its two parts: what tells it from others, and the keys of a browser's subscription.
    identity      text   COLLATE "C" NOT NULL,
    keys          bytea,
    -- SHA-256 of platform and identity: a token may be longer than an index takes.
    digest        bytea  NOT NULL,
    bundle_id     text,
    -- Which of Apple's gateways took the token last.
    environment   text   NOT NULL DEFAULT 'production' CHECK (environment IN ('production', 'sandbox')),
    metadata      text   NOT NULL,
    user_number   bigint,
    created_at    bigint NOT NULL,
    registered_at bigint NOT NULL,
    PRIMARY KEY (instance, device),
    UNIQUE (instance, id),
    UNIQUE (instance, digest),
    FOREIGN KEY (instance, user_number) REFERENCES users
) WITH (fillfactor = 90);
-- The platform rides along so that a user's devices of a platform are counted in the index alone.
CREATE INDEX devices_by_user ON devices (instance, user_number, device, platform) WHERE user_number IS NOT NULL;

CREATE TABLE interests (
    instance bigint NOT NULL,
    interest bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    name     text   COLLATE "C" NOT NULL,
    PRIMARY KEY (instance, interest),
    UNIQUE (instance, name)
);

-- In this order the subscribers of an interest come out ascending by device, which is what fan-out merges.
CREATE TABLE subscriptions (
    instance bigint NOT NULL,
    interest bigint NOT NULL,
    device   bigint NOT NULL,
    PRIMARY KEY (instance, interest, device),
    FOREIGN KEY (instance, interest) REFERENCES interests,
    FOREIGN KEY (instance, device) REFERENCES devices ON DELETE CASCADE
);
CREATE INDEX subscriptions_by_device ON subscriptions (instance, device, interest);

CREATE TABLE publishes (
    instance    bigint  NOT NULL,
    publish     bigint  NOT NULL GENERATED ALWAYS AS IDENTITY,
    id          uuid    NOT NULL UNIQUE,
    state       text    COLLATE "C" NOT NULL CHECK (state IN ('scheduled', 'running', 'finished', 'cancelled')),
    accepted_at bigint  NOT NULL,
    -- When it is sent, where that is later than it was accepted.
    send_at     bigint,
    expires_at  bigint,
    finished_at bigint,
    -- What was named, and how many of it. 'failures': the devices that the publish `replay_of` failed for.
    named       text    COLLATE "C" NOT NULL CHECK (named IN ('interests', 'users', 'failures')),
    named_count bigint  NOT NULL,
    replay_of   bigint,
    delivered   bigint  NOT NULL DEFAULT 0,
    opened      bigint  NOT NULL DEFAULT 0,
    PRIMARY KEY (instance, publish)
) WITH (fillfactor = 85);
-- Most are finished; those in other states are found among all.
CREATE INDEX publishes_running ON publishes (instance, publish) WHERE state = 'running';
CREATE INDEX publishes_scheduled ON publishes (instance, publish) WHERE state = 'scheduled';
CREATE INDEX publishes_cancelled ON publishes (instance, publish) WHERE state = 'cancelled';
CREATE INDEX publishes_finished ON publishes (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX publishes_replayed ON publishes (instance, replay_of) WHERE replay_of IS NOT NULL AND finished_at IS NULL;

-- What a publish carries and whom it is for. Apart from `publishes`, whose rows change, since an update writes a row whole.
CREATE TABLE payloads (
    instance bigint NOT NULL,
    publish  bigint NOT NULL,
    -- How `payloads` and `audience` are written.
    format   bigint NOT NULL,
    payloads text   NOT NULL,
    -- Numbers of interests or users.
    audience bytea  NOT NULL,
    -- The users that were named, as JSON: [[id, user_number or null], ...], ascending by the id's bytes.
    users    text,
    PRIMARY KEY (instance, publish)
);

-- Publishes that wait for their time, with the names that are resolved then, as JSON.
CREATE TABLE scheduled (
    instance bigint NOT NULL,
    publish  bigint NOT NULL,
    send_at  bigint NOT NULL,
    audience text   NOT NULL,
    PRIMARY KEY (instance, publish)
);
CREATE INDEX scheduled_by_time ON scheduled (send_at, publish);

-- A queue: rows come, are updated in place while they are worked on (no index holds what changes), and go. What they leave
-- behind must be cleaned away soon, however few rows there are at a time.
CREATE TABLE jobs (
    job          bigint NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    instance     bigint NOT NULL,
    publish      bigint NOT NULL,
    -- The devices after `cursor` up to `range_end` are to do.
    cursor       bigint NOT NULL,
    range_end    bigint NOT NULL,
    fence        bigint NOT NULL DEFAULT 0,
    owner        uuid,
    leased_until bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000);
CREATE INDEX jobs_by_publish ON jobs (publish);

-- Another queue: deliveries that wait for another attempt.
CREATE TABLE retries (
    retry        bigint NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    instance     bigint NOT NULL,
    publish      bigint NOT NULL,
    device       bigint NOT NULL,
    -- Whose delivery it is, where the publish is to users.
    user_number  bigint,
    attempts     bigint NOT NULL,
    due_at       bigint NOT NULL,
    reason       text   NOT NULL,
    fence        bigint NOT NULL DEFAULT 0,
    owner        uuid,
    leased_until bigint NOT NULL DEFAULT 0,
    UNIQUE (publish, device),
    FOREIGN KEY (instance, device) REFERENCES devices ON DELETE CASCADE
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000);
CREATE INDEX retries_by_due ON retries (due_at, retry);
CREATE INDEX retries_by_device ON retries (instance, device);

-- Publishes that may have lost their last retry together with a device: to be looked at by whoever comes with a clock. Only
-- ever added to and taken from, so that nobody waits for anybody here; a publish may stand in it several times.
CREATE TABLE emptied (
    note     bigint NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    instance bigint NOT NULL,
    publish  bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE tallies (
    instance bigint NOT NULL,
    publish  bigint NOT NULL,
    platform text   COLLATE "C" NOT NULL,
    outcome  text   COLLATE "C" NOT NULL,
    reason   text   COLLATE "C" NOT NULL,
    count    bigint NOT NULL,
    PRIMARY KEY (instance, publish, platform, outcome, reason)
) WITH (fillfactor = 70);

-- What became of a publish for a user. `user_number` points at no row: users go, and their numbers do not repeat. Negative, it is
-- a place in the list of the publish.
CREATE TABLE user_tallies (
    instance    bigint NOT NULL,
    publish     bigint NOT NULL,
    user_number bigint NOT NULL,
    accepted    bigint NOT NULL,
    failed      bigint NOT NULL,
    PRIMARY KEY (instance, publish, user_number)
);

-- Deliveries that ended without having been taken. `device` points at no row; what is told of it was so when it failed.
CREATE TABLE failures (
    instance  bigint NOT NULL,
    publish   bigint NOT NULL,
    device    bigint NOT NULL,
    id        uuid   NOT NULL,
    platform  text   NOT NULL,
    user_id   text,
    outcome   text   NOT NULL,
    reason    text   NOT NULL,
    failed_at bigint NOT NULL,
    PRIMARY KEY (instance, publish, device)
);

-- `device` points at no row: what a device reported counts after the device is gone, and numbers do not repeat.
CREATE TABLE events (
    instance bigint NOT NULL,
    publish  bigint NOT NULL,
    kind     text   COLLATE "C" NOT NULL CHECK (kind IN ('delivery', 'open')),
    device   bigint NOT NULL,
    at       bigint NOT NULL,
    PRIMARY KEY (instance, publish, kind, device)
);

-- Keys of requests that made a publish. `id` points at no row: a key counts for its time, whatever becomes of the publish.
CREATE TABLE request_keys (
    instance    bigint NOT NULL,
    key         text   COLLATE "C" NOT NULL,
    fingerprint bytea  NOT NULL,
    id          uuid   NOT NULL,
    used_at     bigint NOT NULL,
    PRIMARY KEY (instance, key)
);
CREATE INDEX request_keys_by_time ON request_keys (used_at);

-- Lists of users, each the audience of at most one publish. Those without a publish are forgotten after a while.
CREATE TABLE lists (
    list       bigint NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    instance   bigint NOT NULL,
    publish    bigint,
    created_at bigint NOT NULL
);
CREATE INDEX lists_by_instance ON lists (instance, list);
CREATE INDEX lists_by_publish ON lists (publish) WHERE publish IS NOT NULL;
CREATE INDEX lists_of_nobody ON lists (created_at) WHERE publish IS NULL;

-- The users in the order they were told, from one.
CREATE TABLE listed (
    list    bigint NOT NULL,
    place   bigint NOT NULL,
    user_id text   COLLATE "C" NOT NULL,
    -- A JSON object of texts.
    vals    text,
    PRIMARY KEY (list, place),
    UNIQUE (list, user_id)
);
