-- How many devices an instance has, so that asking costs the same however many there are. Whoever inserts devices counts them, many
-- at once where there are many: a trigger would cost each of them more than it costs to count. Whatever removes one is counted here.
CREATE TABLE device_counts (
    instance INTEGER NOT NULL PRIMARY KEY REFERENCES instances ON DELETE CASCADE,
    count    INTEGER NOT NULL
) STRICT;
INSERT INTO device_counts (instance, count) SELECT instance, count(*) FROM devices GROUP BY instance;

CREATE TRIGGER device_counts_down AFTER DELETE ON devices
BEGIN
    UPDATE device_counts SET count = count - 1 WHERE instance = OLD.instance;
END;
