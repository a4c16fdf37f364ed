"""The exchange's rules: deciders, messages and money, pure and deterministic."""
