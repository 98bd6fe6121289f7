-- What servers on the same database tell each other.

CREATE TABLE nodes (
    node   BLOB    NOT NULL PRIMARY KEY,
    worker INTEGER NOT NULL CHECK (worker IN (0, 1)),
    -- Until when it counts as living, unless it says more.
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What one node at a time does for all.
CREATE TABLE duties (
    duty         TEXT    NOT NULL PRIMARY KEY,
    owner        BLOB    NOT NULL,
    leased_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Tokens that gateways do not want to see made anew often.
CREATE TABLE provider_tokens (
    name    TEXT    NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    sealed  BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
