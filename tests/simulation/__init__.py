"""A seeded simulation of the whole pipeline on an in-memory log, with crashes at every micro-step."""
