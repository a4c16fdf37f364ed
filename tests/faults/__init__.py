"""Real processes killed, frozen, cut off and corrupted under load."""
