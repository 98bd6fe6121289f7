-- What happens in an instance while somebody watches.

CREATE TABLE console (
    instance       INTEGER NOT NULL PRIMARY KEY REFERENCES instances ON DELETE CASCADE,
    -- Nobody watches from then on.
    watched_until  INTEGER NOT NULL DEFAULT 0,
    shows_payloads INTEGER NOT NULL DEFAULT 0 CHECK (shows_payloads IN (0, 1))
) STRICT;

-- Names instead of numbers throughout: a trace outlives what it tells of.
CREATE TABLE trail (
    trace     INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    instance  INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
    at        INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    device    TEXT,
    user      TEXT,
    publish   TEXT,
    -- One in a line.
    interests TEXT    NOT NULL,
    detail    TEXT    NOT NULL
) STRICT;
CREATE INDEX trail_by_instance ON trail (instance, trace);
CREATE INDEX trail_by_time ON trail (at);
