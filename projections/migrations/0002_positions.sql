-- Positions are written with each apply, the last of its blocks: readers need no more. Table memory
-- has fewer rows since then: the cells of several applies in one block, and the position they belong
-- to in one row, whose field is empty. That position may lie before those in table positions; rows
-- between the two are written again after a restart, with the same keys.
DROP VIEW IF EXISTS {database}.told_positions;
