"""The exchange's rules: deciders, messages and money, pure and deterministic."""

from native.selection import prefer_compiled

prefer_compiled()
