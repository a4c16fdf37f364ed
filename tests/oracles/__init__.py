"""Slow, obvious models that share no code with the product."""
