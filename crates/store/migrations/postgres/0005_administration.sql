-- Admin tokens, the audit log, since when devices are bound, and what is removed of a publish before the publish itself.

CREATE TABLE admin_tokens (
    token      bigint NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    -- SHA-256 of the token.
    digest     bytea  NOT NULL UNIQUE,
    hint       text   NOT NULL,
    name       text   NOT NULL,
    -- The UUIDs of the instances it is for, JSON; NULL for all.
    instances  text,
    may        text   NOT NULL CHECK (may IN ('read', 'write')),
    created_at bigint NOT NULL,
    expires_at bigint,
    used_at    bigint
);

-- `instance` and `token` point at no row: what was done is told of those that are gone, too.
CREATE TABLE audit (
    entry      bigint NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at         bigint NOT NULL,
    actor      text   NOT NULL,
    token      bigint,
    token_name text,
    action     text   NOT NULL,
    instance   uuid,
    subject    text,
    user_id    text   COLLATE "C",
    outcome    text   NOT NULL CHECK (outcome IN ('begun', 'done', 'failed')),
    reason     text
);
CREATE INDEX audit_by_instance ON audit (instance, entry);
CREATE INDEX audit_by_user ON audit (instance, user_id, entry) WHERE user_id IS NOT NULL;
CREATE INDEX audit_by_time ON audit (at);

ALTER TABLE devices ADD COLUMN bound_at bigint;

-- Whether what it carries, and whom it named, is still there.
ALTER TABLE publishes ADD COLUMN has_payload bigint NOT NULL DEFAULT 1 CHECK (has_payload IN (0, 1));
ALTER TABLE publishes ADD COLUMN has_names bigint NOT NULL DEFAULT 1 CHECK (has_names IN (0, 1));
CREATE INDEX publishes_with_payload ON publishes (finished_at) WHERE finished_at IS NOT NULL AND has_payload = 1;
CREATE INDEX publishes_with_names ON publishes (finished_at) WHERE finished_at IS NOT NULL AND has_names = 1;

-- Lists that no publish has, for who looks for a user in them.
CREATE INDEX lists_of_nobody_by_instance ON lists (instance, list) WHERE publish IS NULL;
