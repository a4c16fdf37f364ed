"""The order book and the decider of the matching shards."""
