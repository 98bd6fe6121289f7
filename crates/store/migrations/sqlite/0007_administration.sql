-- Admin tokens, the audit log, since when devices are bound, and what is removed of a publish before the publish itself.

CREATE TABLE admin_tokens (
    token      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- SHA-256 of the token.
    digest     BLOB    NOT NULL UNIQUE,
    hint       TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    -- The UUIDs of the instances it is for, JSON; NULL for all.
    instances  TEXT,
    may        TEXT    NOT NULL CHECK (may IN ('read', 'write')),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    used_at    INTEGER
) STRICT;

-- `instance` and `token` point at no row: what was done is told of those that are gone, too.
CREATE TABLE audit (
    entry      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    actor      TEXT    NOT NULL,
    token      INTEGER,
    token_name TEXT,
    action     TEXT    NOT NULL,
    instance   BLOB,
    subject    TEXT,
    user       TEXT,
    outcome    TEXT    NOT NULL CHECK (outcome IN ('begun', 'done', 'failed')),
    reason     TEXT
) STRICT;
CREATE INDEX audit_by_instance ON audit (instance, entry);
CREATE INDEX audit_by_user ON audit (instance, user, entry) WHERE user IS NOT NULL;
CREATE INDEX audit_by_time ON audit (at);

ALTER TABLE devices ADD COLUMN bound_at INTEGER;
CREATE INDEX devices_by_instance ON devices (instance, device);

-- Whether what it carries, and whom it named, is still there.
ALTER TABLE publishes ADD COLUMN has_payload INTEGER NOT NULL DEFAULT 1 CHECK (has_payload IN (0, 1));
ALTER TABLE publishes ADD COLUMN has_names INTEGER NOT NULL DEFAULT 1 CHECK (has_names IN (0, 1));
CREATE INDEX publishes_with_payload ON publishes (finished_at) WHERE finished_at IS NOT NULL AND has_payload = 1;
CREATE INDEX publishes_with_names ON publishes (finished_at) WHERE finished_at IS NOT NULL AND has_names = 1;
