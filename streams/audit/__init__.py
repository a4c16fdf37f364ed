"""The auditor's tools: export the log, re-execute it, compare, and check the invariants."""
