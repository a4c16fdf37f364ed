-- What was traded within a month may be more than 64 bits hold: of an asset with 8 decimals, 92
-- billion.
ALTER TABLE {database}.candles
    MODIFY COLUMN quantity Int128,
    MODIFY COLUMN quote Int128,
    MODIFY COLUMN taker_buy_quantity Int128,
    MODIFY COLUMN taker_buy_quote Int128;
