-- Under which span of which trace the work for a publish stands (trace and span of W3C Trace Context, 24 bytes); null unless the
-- trace is recorded.
ALTER TABLE payloads ADD COLUMN trace BLOB;
