-- Webhooks: where an app's backend is told of events, and what it is to be told.

CREATE TABLE webhooks (
    webhook         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    instance        INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
    id              BLOB    NOT NULL UNIQUE,
    url             TEXT    NOT NULL,
    -- Sealed. NULL for the one of an instance that queues what goes to URLs that publishes bring along.
    secret          BLOB,
    scheme          TEXT    NOT NULL CHECK (scheme IN ('beams', 'standard')),
    -- A bit for each type of event that was chosen.
    events          INTEGER NOT NULL,
    custom_data     TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    disabled_since  INTEGER,
    disabled_reason TEXT,
    -- Since when every attempt has failed.
    failing_since   INTEGER,
    -- Since when too many requests wait for more to be queued.
    full_since      INTEGER,
    CHECK ((disabled_since IS NULL) = (disabled_reason IS NULL))
) STRICT;
CREATE INDEX webhooks_by_instance ON webhooks (instance);
CREATE UNIQUE INDEX webhooks_for_publishes ON webhooks (instance) WHERE secret IS NULL;

CREATE TABLE webhook_requests (
    request      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    webhook      INTEGER NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    id           BLOB    NOT NULL,
    event_id     BLOB    NOT NULL,
    event        TEXT    NOT NULL,
    -- JSON. NULL until it is made of what is known of `publish`, which points at no row: publishes go.
    payload      TEXT,
    publish      INTEGER,
    -- Where a publish to very many users is told of in pieces: this one is of the users behind.
    after_user   TEXT,
    -- Whom it is about, if it is about one user.
    user_id      TEXT,
    -- When it was first claimed.
    created_at   INTEGER,
    state        TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'failed')),
    attempts     INTEGER NOT NULL DEFAULT 0,
    due_at       INTEGER NOT NULL DEFAULT 0,
    fence        INTEGER NOT NULL DEFAULT 0,
    leased_until INTEGER NOT NULL DEFAULT 0,
    tried_at     INTEGER,
    status       INTEGER,
    error        TEXT
) STRICT;
CREATE INDEX webhook_requests_due ON webhook_requests (webhook, due_at, request, leased_until) WHERE state = 'waiting';
CREATE INDEX webhook_requests_by_state ON webhook_requests (webhook, state, request);
CREATE INDEX webhook_requests_by_id ON webhook_requests (id);

-- What a publish brought along: a URL, and the body that the request to publish had, sealed together.
CREATE TABLE publish_webhooks (
    publish INTEGER NOT NULL PRIMARY KEY REFERENCES publishes ON DELETE CASCADE,
    sealed  BLOB    NOT NULL
) STRICT;
