"""Which modules are compiled: what a command passes through on its way from record to record."""

HOT = (
    "domain.decider",
    "domain.fees",
    "domain.limits",
    "domain.markets",
    "domain.money",
    "domain.protocol",
    "domain.accounts.messages",
    "domain.accounts.state",
    "domain.ledger.balances",
    "domain.ledger.chart",
    "domain.ledger.funding",
    "domain.ledger.messages",
    "domain.ledger.postings",
    "domain.matching.admission",
    "domain.matching.book",
    "domain.matching.cancels",
    "domain.matching.decider",
    "domain.matching.evolution",
    "domain.matching.markets",
    "domain.matching.messages",
    "domain.matching.placing",
    "domain.matching.planning",
    "domain.matching.reference_prices",
    "domain.matching.snapshot",
    "domain.matching.state",
    "domain.orders.admission",
    "domain.orders.books",
    "domain.orders.cancels",
    "domain.orders.decider",
    "domain.orders.evolution",
    "domain.orders.filters",
    "domain.orders.learning",
    "domain.orders.messages",
    "domain.orders.settlement",
    "domain.orders.snapshot",
    "domain.orders.state",
    "schemas.codec",
    "schemas.primitives",
    "schemas.record",
    "streams.channels",
    "streams.host",
    "streams.shard",
    "streams.window",
)
"""Compiled together, so that a call from one to another is a call in C.

Whole packages rather than single modules where classes have subclasses: an interpreted class
cannot extend a compiled one.
"""

READ_BY_THEM = (
    "domain.accounts.keys",
    "domain.accounts.users",
    "domain.reference",
    "infra.clock",
    "infra.log",
    "native.compiling",
    "native.constructors",
    "native.modules",
    "schemas.topics",
    "schemas.upcast",
    "streams.halts",
    "streams.marks",
    "streams.snapshots",
)
"""What else decides how the hot modules come out: what they import, and the compiling itself."""
