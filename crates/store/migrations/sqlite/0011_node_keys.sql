-- Which master keys a node has, so that none is given up that a node still needs: their ids, eight bytes each, the one that
-- seals first. NULL of a node that does not say.
ALTER TABLE nodes ADD COLUMN keys BLOB;
