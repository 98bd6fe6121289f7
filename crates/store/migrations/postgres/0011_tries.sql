-- Every attempt at a request, a line for each, so that one sees how a receiver came to fail.

ALTER TABLE webhook_requests ADD COLUMN tries text NOT NULL DEFAULT '';
