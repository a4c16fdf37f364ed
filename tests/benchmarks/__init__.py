"""Benchmarks of the parts and of the whole, run by `logbourse bench`."""
