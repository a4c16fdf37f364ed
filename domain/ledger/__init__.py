"""Double entry: every movement of money is a transfer between two accounts."""
