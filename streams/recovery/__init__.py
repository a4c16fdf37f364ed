"""The way back after Kafka has lost acknowledged records: `logbourse recover`."""
