"""The continuous auditor: the whole exchange run once more beside it, stopped where they part."""
