"""Seeds that once failed, or nearly did: the gate runs them for ever."""

EXAMPLES: dict[int, str] = {
    9: "an acknowledged tail is lost and its ledger notices",
    49: "a leader computes one message differently and its shadow does not take over",
    127: "one of two leaders starts, the other goes on, and the log has lost nothing",
}
"""What each showed, by seed."""
