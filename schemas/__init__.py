"""Avro schemas, the codec generated from them, records, and the catalogue of topics."""
