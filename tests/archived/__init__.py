"""Logs that former builds wrote, and what replay said of them then."""
