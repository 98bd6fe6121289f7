-- How often devices reported something, by the hour in which the server got it. Outlives the publishes.
CREATE TABLE event_hours (
    instance bigint NOT NULL,
    hour     bigint NOT NULL,
    platform text   COLLATE "C" NOT NULL CHECK (platform IN ('apns', 'fcm', 'web')),
    kind     text   COLLATE "C" NOT NULL CHECK (kind IN ('delivery', 'open')),
    count    bigint NOT NULL,
    PRIMARY KEY (instance, hour, platform, kind)
) WITH (fillfactor = 50);
