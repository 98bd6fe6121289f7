-- The interests that a publish names, as JSON: [name, ...]; null where it names none, or was accepted by a node that did not keep
-- them. Older nodes neither write nor read it.
ALTER TABLE payloads ADD COLUMN interests text;
