"""The subcommand that checks the exchange's invariants over the log, at a consistent cut."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from domain.accounts.state import AccountsState
from domain.decider import Decider
from domain.matching.messages import TradeExecuted
from infra.log import Partition
from schemas.record import decode_record
from schemas.topics import inbox, shard_of
from streams.audit.archive import Archive, Progress, position_name
from streams.audit.books import Exchange, Sheet, check_exchange
from streams.audit.checks import TITLES, Checks
from streams.audit.cut import consistent_cut
from streams.audit.findings import Findings
from streams.audit.kept_snapshots import KeptSnapshots
from streams.audit.ledger_witness import LedgerRecord, LedgerWitness, Leg
from streams.audit.matching_witness import MatchingRecord, MatchingWitness
from streams.audit.progress import Bar
from streams.audit.replay import add_log_arguments, open_log
from streams.audit.rerun import Options, Run, rerun
from streams.audit.verify import verify
from streams.families import decider_of

SOUND = "SOUND"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `logbourse audit` takes."""
    add_log_arguments(parser)
    parser.add_argument(
        "--snapshots", type=Path, metavar="DIR", help="check snapshots, too: <data>/snapshots"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--processes", type=int, default=0, help="how many at once (0: as fit)")


def run(arguments: argparse.Namespace) -> int:
    """Audit: 0 if all that is checked holds, 1 if not. Raises `BadArchive`.

    1 as well if no record was compared: nothing can be said of such a log.
    """
    archive = open_log(arguments)
    shards = archive.manifest.shards()
    bar = Bar("audit", 2 * sum(archive.end(inbox(shard)) for shard in shards))
    result = audit(archive, bar, arguments.processes, arguments.snapshots)
    bar.end()
    print(json.dumps(as_json(result), indent=2) if arguments.json else "\n".join(report(result)))
    return 0 if result.verdict() == SOUND else 1


@dataclass(slots=True)
class Audit:
    """The checks, the cut they were made at, and the balance sheet by asset id."""

    checks: Checks
    cut: dict[str, int]
    sheets: dict[int, Sheet]
    assets: dict[int, tuple[str, int]]
    """Code and decimals by asset id."""
    snapshots: dict[str, int] | None
    """How many were `checked` and `passed_over`; nothing if no directory was named."""
    too_new: int
    """Records that were appended while the ends were read, whose causes were not seen."""
    faulted: int
    """Commands and facts that a shard could not plan for a bug: closed, with no effect."""
    faults: list[str]
    """The first few of each shard, in words."""

    def verdict(self) -> str:
        """Whether all holds, in a word or two; of nothing it is not said."""
        if not self.checks.ok():
            return "VIOLATED"
        return SOUND if self.checks.counts["S3"] else "NOTHING CHECKED"


def audit(
    archive: Archive, progress: Progress, processes: int = 0, snapshots: Path | None = None
) -> Audit:
    """Replay everything, find the consistent cut, and check the invariants there.

    All of `TITLES` but L3 (no wallets), and S4 only with `snapshots`. That has a folder of
    snapshots for each shard, which are checked on the way. Raises `BadArchive`.
    """
    shards = archive.manifest.shards()
    kept = KeptSnapshots(archive, snapshots)
    options = {shard: Options(hash_at=kept.offsets(shard)) for shard in shards}
    verdict = verify(archive, shards, options, progress, processes)
    cut = consistent_cut(archive, verdict.runs, verdict.found)
    checks = Checks()
    _count_replay(verdict.findings, checks)
    kept.check(verdict.runs, checks)
    accounts = _state_at(archive, "A0", cut, progress)
    assets = {}
    if isinstance(accounts, AccountsState):
        assets = {a.asset_id: (a.code, a.decimals) for a in accounts.assets.values()}
    exchange = _watch(archive, cut, checks, progress)
    counts = {"checked": kept.checked, "passed_over": kept.passed_over}
    sheets = check_exchange(exchange, checks)
    shown = counts if snapshots is not None else None
    faulted = sum(run.faulted for run in verdict.runs.values())
    faults = [words for run in verdict.runs.values() for words in run.faults]
    return Audit(checks, cut, sheets, assets, shown, verdict.findings.cut_off, faulted, faults)


def report(result: Audit) -> list[str]:
    """The cut, the balance sheet, the table of invariants, and what is violated."""
    cut = ", ".join(position_name(inbox(shard), offset) for shard, offset in result.cut.items())
    lines = [f"consistent cut before {cut}", ""]
    lines.append(f"{'asset':<8}" + "".join(f"{name:>26}" for name in _COLUMNS))
    for asset, sheet in sorted(result.sheets.items()):
        code, decimals = result.assets.get(asset, (f"#{asset}", 0))
        row = [_amount(getattr(sheet, name), decimals) for name in _COLUMNS]
        lines.append(f"{code:<8}" + "".join(f"{cell:>26}" for cell in row))
    lines += ["", f"{'id':<4}{'what':<64}{'checked':>12}  result"]
    for invariant, title in TITLES.items():
        checked = result.checks.counts[invariant]
        broken = result.checks.broken[invariant]
        verdict = f"VIOLATED {broken:,} times" if broken else ("ok" if checked else "not checked")
        lines.append(f"{invariant:<4}{title:<64}{checked:>12,}  {verdict}")
    if result.snapshots is not None:
        counts = result.snapshots
        looked_at = f"{counts['checked']:,} checked, {counts['passed_over']:,} passed over"
        lines += ["", f"snapshots: {looked_at} (of another layout, or newer than what was read)"]
    if result.too_new:
        noun = "record is" if result.too_new == 1 else "records are"
        lines += ["", f"{result.too_new:,} {noun} too new to be judged"]
    if result.faulted:
        noun = "command" if result.faulted == 1 else "commands"
        lines += ["", f"warning: {result.faulted:,} {noun} faulted by a bug, and had no effect:"]
        lines += result.faults
    return [*lines, "", *result.checks.words, result.verdict()]


def as_json(result: Audit) -> dict[str, Any]:
    """The same for machines; amounts in smallest units."""
    return {
        "sound": result.verdict() == SOUND,
        "cut": dict(result.cut),
        "invariants": {
            invariant: {
                "what": title,
                "checked": result.checks.counts[invariant],
                "violated": result.checks.broken[invariant],
            }
            for invariant, title in TITLES.items()
        },
        "too_new_to_be_judged": result.too_new,
        "commands_faulted": result.faulted,
        "faults": result.faults,
        "snapshots": result.snapshots,
        "violations": result.checks.words,
        "balance_sheet": {
            result.assets.get(asset, (f"#{asset}", 0))[0]: asdict(sheet)
            for asset, sheet in sorted(result.sheets.items())
        },
    }


_COLUMNS = (
    "deposited",
    "withdrawn",
    "available",
    "held",
    "house",
    "clearing",
    "in_flight",
    "external",
)


def _count_replay(findings: Findings, checks: Checks) -> None:
    checks.counts["S3"] = findings.compared
    checks.broken["S3"] = len(findings.listed) + findings.left_out
    checks.words += [f"S3: {finding.sentence()}" for finding in findings.roots()[:5]]


def _watch(
    archive: Archive, cut: Mapping[str, int], checks: Checks, progress: Progress
) -> Exchange:
    """Run ledgers and matching shards to the cut with witnesses beside them."""
    exchange = Exchange({}, {})
    received: dict[tuple[str, str], int] = {}
    for shard in (shard for shard in cut if shard[0] == "L"):
        ledger_records: list[LedgerRecord] = []
        done = _run_with(archive, shard, cut, progress, ledger_records)
        checks.add(ledger_records[-1].checks)
        checks.check("L1", not done.unsound, f"{shard}: {done.unsound}")
        if done.dumped:
            restored = done.restored()
            exchange.ledgers[shard] = (restored.state, ledger_records[-1])
            for source, channel in restored.incoming.items():
                received[(source, shard)] = channel.cseq
    for shard in (shard for shard in cut if shard[0] == "M"):
        matching_records: list[MatchingRecord] = []
        under_way = _UnderWay(shard, received, archive.manifest.ledger_partitions)
        _run_with(archive, shard, cut, progress, matching_records, under_way)
        checks.add(matching_records[-1].checks)
        exchange.matchings[shard] = matching_records[-1]
        exchange.under_way |= under_way.legs
    return exchange


class _UnderWay:
    """Told of all that a matching shard writes, keeps the legs that ledgers have not received."""

    def __init__(
        self, shard: str, received: Mapping[tuple[str, str], int], ledger_partitions: int
    ) -> None:
        self.legs: set[Leg] = set()
        self._shard = shard
        self._received = received
        self._partitions = ledger_partitions

    def __call__(self, place: Partition, cseq: int, value: bytes) -> None:
        """Look at one record."""
        target = shard_of(*place)
        if place[0] != "ledger.in" or cseq <= self._received.get((self._shard, target), 0):
            return
        for message in decode_record(value).messages:
            if isinstance(message, TradeExecuted):
                for order_id in (message.maker_order_id, message.taker_order_id):
                    if order_id % self._partitions == place[1]:
                        self.legs.add((message.market_id, message.trade_id, order_id))


def _run_with(
    archive: Archive,
    shard: str,
    cut: Mapping[str, int],
    progress: Progress,
    records: list[Any],
    on_output: Any = None,
) -> Run:
    """Run a shard to its cut with a witness; a run that begins anew has a new one, put last."""

    def witnessed(shard_id: str) -> Decider[Any]:
        if shard_id[0] == "L":
            records.append(LedgerRecord())
            return LedgerWitness(decider_of(shard_id), records[-1])
        records.append(MatchingRecord())
        return MatchingWitness(decider_of(shard_id), records[-1])

    options = Options(stop=cut[shard], decider=witnessed, on_output=on_output)
    return rerun(archive, shard, options, progress)


def _state_at(archive: Archive, shard: str, cut: Mapping[str, int], progress: Progress) -> Any:
    done = rerun(archive, shard, Options(stop=cut[shard]), progress)
    return done.restored().state if done.dumped else None


def _amount(units: int, decimals: int) -> str:
    """Units as a decimal number, exact."""
    digits = f"{abs(units):0{decimals + 1}d}"
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    sign = "-" if units < 0 else ""
    return f"{sign}{int(whole):,}.{fraction}" if fraction else f"{sign}{int(whole):,}"
