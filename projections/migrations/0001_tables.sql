-- History of one build. {database} is replaced by the build's database. Amounts are in smallest
-- units, prices in 10^-8 quote per base, times are log time in microseconds. The sort key of every
-- table ends in, or determines, the position of the event, so that a repeated insert is harmless.

CREATE TABLE IF NOT EXISTS {database}.trades (
    partition Int32, cseq Int64, idx Int32, time_us Int64,
    market_id Int64, trade_id Int64, price Int64, quantity Int64, quote Int64, taker_side Int8,
    maker_order_id Int64, taker_order_id Int64
) ENGINE = ReplacingMergeTree ORDER BY (market_id, trade_id, partition, cseq, idx);

-- Every state of every order, as layout.StoredOrder; the last state of an order is the row with
-- its greatest (cseq, idx).
CREATE TABLE IF NOT EXISTS {database}.orders (
    partition Int32, cseq Int64, idx Int32, time_us Int64,
    order_id Int64, user_id Int64, market_id Int64, client_order_id String, side Int8,
    order_type Int8, time_in_force Int8, price Int64, quantity Int64, quote_quantity Int64,
    filled_quantity Int64, filled_quote Int64, state Int8, reason Int8, accepted_us Int64,
    rested_us Int64
) ENGINE = ReplacingMergeTree ORDER BY (user_id, market_id, order_id, partition, cseq, idx);

-- role: 0 maker, 1 taker; the fee is in fee_asset, which is what the order received.
CREATE TABLE IF NOT EXISTS {database}.fills (
    partition Int32, cseq Int64, idx Int32, time_us Int64,
    user_id Int64, market_id Int64, trade_id Int64, order_id Int64, client_order_id String,
    side Int8, role Int8, price Int64, quantity Int64, quote Int64, fee_asset Int64, fee Int64
) ENGINE = ReplacingMergeTree ORDER BY (user_id, market_id, trade_id, order_id, partition, cseq, idx);

-- One row per transfer of domain/ledger/postings.py; accounts as domain/ledger/chart.py codes them.
-- event is the class name, reference that of a deposit or withdrawal, order_id 0 if there is none.
CREATE TABLE IF NOT EXISTS {database}.ledger_entries (
    partition Int32, cseq Int64, idx Int32, leg Int32, time_us Int64,
    user_id Int64, asset_id Int64, debit Int64, credit Int64, amount Int64,
    event LowCardinality(String), reference String, order_id Int64, market_id Int64
) ENGINE = ReplacingMergeTree ORDER BY (user_id, asset_id, partition, cseq, idx, leg);

-- The row with the greatest cseq is the candle. interval is the public name, such as 1m.
CREATE TABLE IF NOT EXISTS {database}.candles (
    partition Int32, cseq Int64, time_us Int64,
    market_id Int64, interval LowCardinality(String), open_us Int64,
    open_price Int64, high_price Int64, low_price Int64, close_price Int64,
    quantity Int64, quote Int64, trades Int64, taker_buy_quantity Int64, taker_buy_quote Int64,
    first_trade_id Int64, last_trade_id Int64
) ENGINE = ReplacingMergeTree(cseq) ORDER BY (market_id, interval, open_us);

-- One row per log minute and subject that moved in it. subject 'user' or 'market'; view is the JSON
-- list of layout.UserRisk or MarketRisk. For users, prices is a JSON object market → [price, cseq]:
-- the reference prices that stood in the same ledger.ev partition and the sequences they came with.
CREATE TABLE IF NOT EXISTS {database}.risk_samples (
    partition Int32, cseq Int64, idx Int32, time_us Int64, minute Int64,
    subject LowCardinality(String), id Int64, view String, prices String
) ENGINE = ReplacingMergeTree(cseq) ORDER BY (subject, id, minute);

-- The projector's state as cells (key, field, text); a cell with `gone` 1 is no more. The key
-- 'position' has a field for each table of the topic: [cseq, offset, time_us]. The cells of an apply
-- and its position come in one block, after the rows of the tables, hence all or none (see 0002).
CREATE TABLE IF NOT EXISTS {database}.memory (
    topic LowCardinality(String), partition Int32, cell String, field String, text String,
    gone UInt8, cseq Int64
) ENGINE = ReplacingMergeTree(cseq, gone) ORDER BY (topic, partition, cell, field);

-- How far each table stands in each partition, for readers: filled from memory until 0002.
CREATE TABLE IF NOT EXISTS {database}.positions (
    table_name LowCardinality(String), topic LowCardinality(String), partition Int32,
    cseq Int64, offset Int64, time_us Int64
) ENGINE = ReplacingMergeTree(cseq) ORDER BY (table_name, topic, partition);

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.told_positions TO {database}.positions AS
SELECT
    field AS table_name, topic, partition, cseq,
    JSONExtractInt(text, 2) AS offset, JSONExtractInt(text, 3) AS time_us
FROM {database}.memory
WHERE cell = 'position';
