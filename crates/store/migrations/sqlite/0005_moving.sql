-- Moving everything from one database to another.

-- Tells this database from all others.
ALTER TABLE store ADD COLUMN identity BLOB;
UPDATE store SET identity = randomblob(16);
-- The database that this one is being filled from; nobody works on it meanwhile.
ALTER TABLE store ADD COLUMN filled_from BLOB;

-- How far the move has come with each kind of row.
CREATE TABLE moves (
    kind  TEXT    NOT NULL PRIMARY KEY,
    -- JSON; NULL once all rows are there.
    place TEXT,
    rows  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
