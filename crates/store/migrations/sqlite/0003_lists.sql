-- Lists of users, each the audience of at most one publish. Those without a publish are forgotten after a while.

CREATE TABLE lists (
    list       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    instance   INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
    publish    INTEGER REFERENCES publishes ON DELETE SET NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX lists_by_instance ON lists (instance);
CREATE INDEX lists_by_publish ON lists (publish) WHERE publish IS NOT NULL;
CREATE INDEX lists_of_nobody ON lists (created_at) WHERE publish IS NULL;

-- The users in the order they were told, from one.
CREATE TABLE listed (
    list   INTEGER NOT NULL REFERENCES lists ON DELETE CASCADE,
    place  INTEGER NOT NULL,
    user   TEXT    NOT NULL,
    -- A JSON object of texts.
    vals   TEXT,
    PRIMARY KEY (list, place)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX listed_by_user ON listed (list, user);
