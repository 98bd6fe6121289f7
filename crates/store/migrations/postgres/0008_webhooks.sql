-- Webhooks: where an app's backend is told of events, and what it is to be told.

CREATE TABLE webhooks (
    webhook         bigint  NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    instance        bigint  NOT NULL,
    id              uuid    NOT NULL UNIQUE,
    url             text    NOT NULL,
    -- Sealed. NULL for the one of an instance that queues what goes to URLs that publishes bring along.
    secret          bytea,
    scheme          text    NOT NULL CHECK (scheme IN ('beams', 'standard')),
    -- A bit for each type of event that was chosen.
    events          bigint  NOT NULL,
    custom_data     text    NOT NULL,
    created_at      bigint  NOT NULL,
    disabled_since  bigint,
    disabled_reason text,
    -- Since when every attempt has failed.
    failing_since   bigint,
    -- Since when too many requests wait for more to be queued.
    full_since      bigint,
    CHECK ((disabled_since IS NULL) = (disabled_reason IS NULL))
);
CREATE INDEX webhooks_by_instance ON webhooks (instance);
CREATE UNIQUE INDEX webhooks_for_publishes ON webhooks (instance) WHERE secret IS NULL;

-- Who writes one holds its webhook (FOR KEY SHARE), so that a webhook does not go while something is queued for it.
CREATE TABLE webhook_requests (
    request      bigint  NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    webhook      bigint  NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    id           uuid    NOT NULL,
    event_id     uuid    NOT NULL,
    event        text    NOT NULL,
    -- JSON. NULL until it is made of what is known of `publish`, which points at no row: publishes go.
    payload      text,
    publish      bigint,
    -- Where a publish to very many users is told of in pieces: this one is of the users behind.
    after_user   text,
    -- Whom it is about, if it is about one user.
    user_id      text,
    -- When it was first claimed.
    created_at   bigint,
    state        text    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'failed')),
    attempts     bigint  NOT NULL DEFAULT 0,
    due_at       bigint  NOT NULL DEFAULT 0,
    fence        bigint  NOT NULL DEFAULT 0,
    leased_until bigint  NOT NULL DEFAULT 0,
    tried_at     bigint,
    status       bigint,
    error        text
);
CREATE INDEX webhook_requests_due ON webhook_requests (webhook, due_at, request, leased_until) WHERE state = 'waiting';
CREATE INDEX webhook_requests_by_state ON webhook_requests (webhook, state, request);
CREATE INDEX webhook_requests_by_id ON webhook_requests (id);

-- What a publish brought along: a URL, and the body that the request to publish had, sealed together.
CREATE TABLE publish_webhooks (
    instance bigint NOT NULL,
    publish  bigint NOT NULL,
    sealed   bytea  NOT NULL,
    PRIMARY KEY (instance, publish)
);
