"""The one shell that runs every decider on the log: host, snapshots, workers, replay and audit."""

from native.selection import prefer_compiled

prefer_compiled()
