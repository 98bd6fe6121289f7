-- On which days devices were active, counts of reports by day, and reports that go before their publish does.

-- The last day, counted from the Unix epoch, and a bit for each of the last thirty days back from it, the least for itself.
ALTER TABLE devices ADD COLUMN active_on INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN active_days INTEGER NOT NULL DEFAULT 0;
-- Counting reads this alone.
CREATE INDEX devices_by_activity ON devices (instance, device, platform, active_on, active_days);
DROP INDEX devices_by_instance;

-- What `event_hours` had, added up by day. A report is counted in one of them.
CREATE TABLE event_days (
    instance INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
    day      INTEGER NOT NULL,
    platform TEXT    NOT NULL CHECK (platform IN ('apns', 'fcm', 'web')),
    kind     TEXT    NOT NULL CHECK (kind IN ('delivery', 'open')),
    count    INTEGER NOT NULL,
    PRIMARY KEY (instance, day, platform, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_days_by_time ON event_days (day);
CREATE INDEX event_hours_by_time ON event_hours (hour);

-- Whether what was reported of it is there, so that a repetition would be known: 1, or else nothing counts any more; 2 while it goes.
ALTER TABLE publishes ADD COLUMN has_events INTEGER NOT NULL DEFAULT 1 CHECK (has_events IN (0, 1, 2));
CREATE INDEX publishes_with_events ON publishes (finished_at) WHERE finished_at IS NOT NULL AND has_events <> 0;
