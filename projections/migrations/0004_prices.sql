-- A price above 92 billion is more than 64 bits hold in 10^-8. An order's amounts have at most 62
-- bits, and steps at most 8 decimals, so that no price has more than 116.
ALTER TABLE {database}.trades MODIFY COLUMN price Int128;

ALTER TABLE {database}.orders MODIFY COLUMN price Int128;

ALTER TABLE {database}.fills MODIFY COLUMN price Int128;

ALTER TABLE {database}.candles
    MODIFY COLUMN open_price Int128,
    MODIFY COLUMN high_price Int128,
    MODIFY COLUMN low_price Int128,
    MODIFY COLUMN close_price Int128;
