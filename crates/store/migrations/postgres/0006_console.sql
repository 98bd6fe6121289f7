-- What happens in an instance while somebody watches.

CREATE TABLE console (
    instance       bigint  NOT NULL PRIMARY KEY REFERENCES instances ON DELETE CASCADE,
    -- Nobody watches from then on.
    watched_until  bigint  NOT NULL DEFAULT 0,
    shows_payloads boolean NOT NULL DEFAULT false
);

-- Names instead of numbers throughout: a trace outlives what it tells of.
CREATE TABLE trail (
    instance  bigint NOT NULL REFERENCES instances ON DELETE CASCADE,
    trace     bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    at        bigint NOT NULL,
    kind      text   NOT NULL,
    device    text,
    user_id   text   COLLATE "C",
    publish   text,
    -- One in a line.
    interests text   NOT NULL,
    detail    text   NOT NULL,
    PRIMARY KEY (instance, trace)
);
CREATE INDEX trail_by_time ON trail (at);
