"""The query API: what the views say, as clients of Binance Spot expect to read it."""
