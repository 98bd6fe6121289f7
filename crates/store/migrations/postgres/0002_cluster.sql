-- What nodes on the same database tell each other.

CREATE TABLE nodes (
    node   uuid    NOT NULL PRIMARY KEY,
    worker boolean NOT NULL,
    -- Until when it counts as living, unless it says more.
    until  bigint  NOT NULL
) WITH (fillfactor = 50);

-- What one node at a time does for all.
CREATE TABLE duties (
    duty         text   COLLATE "C" NOT NULL PRIMARY KEY,
    owner        uuid   NOT NULL,
    leased_until bigint NOT NULL
);

-- Tokens that gateways do not want to see made anew often.
CREATE TABLE provider_tokens (
    name    text   COLLATE "C" NOT NULL PRIMARY KEY,
    version bigint NOT NULL,
    sealed  bytea  NOT NULL
);
