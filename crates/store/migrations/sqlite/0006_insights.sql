-- How often devices reported something, by the hour in which the server got it. Outlives the publishes.
CREATE TABLE event_hours (
    instance INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
    hour     INTEGER NOT NULL,
    platform TEXT    NOT NULL CHECK (platform IN ('apns', 'fcm', 'web')),
    kind     TEXT    NOT NULL CHECK (kind IN ('delivery', 'open')),
    count    INTEGER NOT NULL,
    PRIMARY KEY (instance, hour, platform, kind)
) STRICT, WITHOUT ROWID;
