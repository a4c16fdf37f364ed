"""Orders from acceptance to settlement: the decider of the ledger shards."""
