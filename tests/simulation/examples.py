"""Seeds that once failed, or nearly did: the gate runs them for ever."""

EXAMPLES: dict[int, tuple[str, str]] = {
    189: ("an acknowledged tail is lost and its ledger notices", "outbox not asked after a loss"),
    339: (
        "an outbox loses its end, and a snapshot that knows more is not taken",
        "snapshot beyond its outbox taken",
    ),
    29: (
        "a leader computes one message differently and its shadow does not take over",
        "shadow compares nothing",
    ),
    31: (
        "one of two leaders starts, the other goes on, and the log has lost nothing",
        "end asked before the outbox",
    ),
    569: (
        "a wrong leader's record stands in the outbox, and no shadow that compared it takes over",
        "promotion without drain",
    ),
}
"""What each shows, by seed, and the mutant with which it fails: a seed may come to mean another
schedule when the simulation changes, and then the example is looked for anew."""

MISJUDGED: dict[int, str] = {
    1_398_309: "an inbox lost what the opening had brought, from behind which it was judged",
    2_007_280: "clients gave up before the first tick after a clock's jump: ledgers lag till then",
}
"""What the product did right, and the simulation took for wrong.

Since 23 November 2026 these seeds mean other schedules, too; what they met was mended in the
simulation itself, so that it cannot be looked for anew.
"""
