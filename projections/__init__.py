"""The read side: folds of the log into Redis and ClickHouse, and the APIs over them."""
