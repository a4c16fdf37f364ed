"""What the auditor tells Prometheus: how far it is, what it has checked, and what it found."""

from collections import Counter as Counts
from collections.abc import Mapping

from infra.log import Partition
from infra.metrics import Counter, Gauge, Histogram
from streams.auditor.violations import WATCHED

CATCHING_UP, LIVE, STOPPED = 0, 1, 2

STATE = Gauge("logbourse_auditor_state", "0 reads old records, 1 is live, 2: a shard has halted")
RECORDS = Counter("logbourse_auditor_records", "Records read, of all partitions")
LAG = Gauge("logbourse_auditor_lag_records", "Records in the log, not read", ("topic", "partition"))
CHECKS = Gauge("logbourse_auditor_checks_total", "Checks since the start", ("invariant",))
VIOLATIONS = Counter("logbourse_auditor_violations", "Violations found", ("invariant",))
FAULTED = Counter("logbourse_auditor_commands_faulted", "Not planned for a bug", ("shard",))
ORDERS = Counter("logbourse_auditor_halts_written", "Commands written to stop something", ("kind",))
PENDING = Gauge("logbourse_auditor_halts_pending", "To be stopped, and not yet stopped in the log")
CUT_AGE = Gauge("logbourse_auditor_cut_age_seconds", "Since all assets were checked at a cut")
IN_TRANSIT_AGE = Gauge(
    "logbourse_auditor_in_transit_age_seconds",
    "Log time since the oldest trade that a ledger has not settled",
)
SETTLED_AFTER_S = Histogram(
    "logbourse_auditor_settled_after_seconds",
    "Log time from a trade to its settlement in a ledger",
    buckets=(0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0),
)
CHECKPOINT_AGE = Gauge("logbourse_auditor_checkpoint_age_seconds", "Since the last checkpoint")
DUE = Gauge("logbourse_auditor_due_records", "Computed here, and not found in the log yet")
BACKLOG = Gauge("logbourse_auditor_touched_keys", "Keys of Redis that wait to be looked at")
MENDED = Gauge("logbourse_auditor_mended_keys_total", "Keys of Redis written anew")
REPAIRS = Counter("logbourse_auditor_rebuilds", "Views built anew", ("view",))
ROUND = Gauge("logbourse_auditor_history_round_seconds", "How long adding up the history took")


def begin() -> None:
    """Let every invariant show from the start."""
    for invariant in WATCHED:
        VIOLATIONS.labels(invariant)


def tell_checks(checked: Counts[str]) -> None:
    """How often each invariant was checked."""
    for invariant in WATCHED:
        CHECKS.labels(invariant).set(checked[invariant])


def tell_lag(ends: Mapping[Partition, int], read: Mapping[Partition, int]) -> None:
    """How far the ends of the log are ahead."""
    for (topic, partition), end in ends.items():
        LAG.labels(topic, str(partition)).set(max(0, end - read[topic, partition]))
