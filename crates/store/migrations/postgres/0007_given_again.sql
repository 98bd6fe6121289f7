-- Whether a registration was answered with the id of a device that was there before, so that more than one may know it.
ALTER TABLE devices ADD COLUMN given_again bigint NOT NULL DEFAULT 0;
