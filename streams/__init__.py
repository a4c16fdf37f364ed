"""The one shell that runs every decider on the log: host, snapshots, workers, replay and audit."""
