"""Tests of the order book and the matching shards."""
