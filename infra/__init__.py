"""Doors to third parties, settings and the parts that start the local stack."""
