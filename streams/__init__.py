"""The host that runs deciders on the log, its snapshots and its replay."""
