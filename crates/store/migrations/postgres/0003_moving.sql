-- Moving everything from one database to another.

-- Tells this database from all others.
ALTER TABLE store ADD COLUMN identity uuid NOT NULL DEFAULT gen_random_uuid();
-- The database that this one is being filled from; nobody works on it meanwhile.
ALTER TABLE store ADD COLUMN filled_from uuid;

-- How far the move has come with each kind of row.
CREATE TABLE moves (
    kind  text   COLLATE "C" NOT NULL PRIMARY KEY,
    -- JSON; NULL once all rows are there.
    place text,
    rows  bigint NOT NULL
);
