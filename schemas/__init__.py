"""Avro schemas, the codec generated from them, records, and the catalogue of topics."""

from native.selection import prefer_compiled

prefer_compiled()
