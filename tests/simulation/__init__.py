"""A seeded simulation of the whole pipeline on a log in memory, with crashes everywhere."""
