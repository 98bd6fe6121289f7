-- How many devices an instance has, so that asking costs the same however many there are: the sum of its rows. Kept by the database
-- itself, so that nodes of the release before are counted too.
--
-- A transaction adds to a row that no other holds, and makes one where there is none: nobody waits for anybody here, and there
-- are no more rows than there were ever transactions at once. A row by itself may therefore be negative.
CREATE TABLE device_counts (
    instance bigint NOT NULL,
    slot     bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    count    bigint NOT NULL,
    PRIMARY KEY (instance, slot)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000);

CREATE FUNCTION device_counts_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    owner bigint;
    more  bigint;
    mine  bigint;
BEGIN
    FOR owner, more IN SELECT instance, count(*) FROM added GROUP BY instance LOOP
        SELECT slot INTO mine FROM device_counts WHERE instance = owner LIMIT 1 FOR UPDATE SKIP LOCKED;
        IF FOUND THEN
            UPDATE device_counts SET count = count + more WHERE instance = owner AND slot = mine;
        ELSE
            INSERT INTO device_counts (instance, count) VALUES (owner, more);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

CREATE FUNCTION device_counts_down() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    owner bigint;
    more  bigint;
    mine  bigint;
BEGIN
    FOR owner, more IN SELECT instance, -count(*) FROM removed GROUP BY instance LOOP
        SELECT slot INTO mine FROM device_counts WHERE instance = owner LIMIT 1 FOR UPDATE SKIP LOCKED;
        IF FOUND THEN
            UPDATE device_counts SET count = count + more WHERE instance = owner AND slot = mine;
        ELSE
            INSERT INTO device_counts (instance, count) VALUES (owner, more);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- From here to the end of the migration nobody else adds or removes devices; so what is counted is all there are.
CREATE TRIGGER device_counts_up AFTER INSERT ON devices
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION device_counts_up();
CREATE TRIGGER device_counts_down AFTER DELETE ON devices
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION device_counts_down();
INSERT INTO device_counts (instance, count) SELECT instance, count(*) FROM devices GROUP BY instance;
