"""Schemas, codec and records, with fastavro as the oracle."""
