"""The steps of a recovery, each done once, in an order that may be interrupted anywhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from infra.clock import SystemClock
from infra.kafka import KafkaLog, create_topics, existing_topics, own_settings
from infra.kafka_broker import kept_nodes
from infra.recoveries import AGREED, PROVED
from infra.refusal import Refusal
from infra.settings import Settings
from schemas.topics import catalogue
from streams.audit.archive import Archive, place_name
from streams.audit.export import export
from streams.audit.exported import open_export
from streams.audit.live import open_live
from streams.audit.progress import Bar
from streams.recovery.brokers import running_brokers
from streams.recovery.evidence import Evidence, is_needed, shown
from streams.recovery.journal import Journal
from streams.recovery.plan import Plan
from streams.recovery.proof import prove
from streams.recovery.report import REPORT, name_of, read_plan, write_report
from streams.recovery.rewriting import commit_marks, write_log, write_words
from streams.recovery.snapshots import files_at

KAFKA = "kafka"
TOPICS = "topics.json"
"""What an operator has set on topics beside what they must have."""

VIEWS = ("redis", "clickhouse", "auditor")
"""What knows more than the log will, and is made anew from it."""


class Walk:
    """One recovery. `tell` is given what the operator should read, `agree` asks whether to go on.

    Nothing is deleted: what is replaced is moved into the recovery's folder.
    """

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        evidence: Evidence,
        tell: Callable[[str], None],
        agree: Callable[[str], bool],
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._evidence = evidence
        self._tell = tell
        self._agree = agree
        self._copy = journal.folder / "log"

    def go(self) -> int:
        """Do what is left to do: 0 if all is done, 1 if not. Raises `Refusal`, `BadArchive`."""
        nodes = self._nodes()
        if self._journal.has(AGREED):
            self._expect_the_same_log(nodes)
        elif (status := self._propose(nodes)) is not None:
            return status
        plan = read_plan(self._journal.folder)
        if plan.must_rewrite():
            self._once("log set aside", lambda: self._set_log_aside(nodes))
        with running_brokers(self._settings, nodes) as reachable, _log_of(reachable) as log:
            self._once("log written", lambda: self._write(plan, reachable, log))
            self._once("marks set", lambda: commit_marks(plan, log))
            self._once("snapshots set aside", lambda: self._set_snapshots_aside(plan))
            self._once("views set aside", self._set_views_aside)
            name = name_of(self._journal.folder)
            self._once("words written", lambda: self._say(plan, log, name))
            if not self._proved(reachable):
                return 1
        self._journal.note(PROVED)
        self._tell(_WAY_ON.format(report=self._journal.folder / REPORT))
        return 0

    def _propose(self, nodes: int) -> int | None:
        """Copy the log, show what can be done, and ask; the exit status if nothing shall be done.

        What nobody wants done leaves no trace.
        """
        self._journal.restart()
        with running_brokers(self._settings, nodes) as reachable:
            whole = self._evidence.archive(reachable)
            export(whole.archive, self._copy, _bar("copy", whole.archive))
            own = own_settings(reachable, catalogue(*_counts(whole.archive)))
            self._journal.keep(TOPICS, own)
        archive = open_export(self._copy)
        plan, losses = self._evidence.look(archive, _bar("replay", archive))
        self._tell("\n".join(shown(whole, plan, losses)))
        write_report(self._journal.folder, plan, losses)
        question = f"Do this? What is replaced is kept in {self._journal.folder}."
        needed = is_needed(whole, plan)
        if needed and self._agree(question):
            self._journal.note(AGREED)
            return None
        self._journal.discard()
        return 1 if needed else 0

    def _expect_the_same_log(self, nodes: int) -> None:
        """Who goes on after a pause must not drop what was written meanwhile."""
        plan = read_plan(self._journal.folder)
        step = "log set aside" if plan.must_rewrite() else "words written"
        if self._journal.has(step) or (self._journal.folder / KAFKA).exists():
            return
        with running_brokers(self._settings, nodes) as reachable, _log_of(reachable) as log:
            if not existing_topics(reachable):
                # Whoever runs it has set its data aside, as they were told.
                return
            for place, end in plan.ends.items():
                found = log.ends(*place)[1]
                if found > end and not self._journal.has("marks set"):
                    raise Refusal(
                        f"{place_name(place)} must end at {end} as when the plan was made, ends "
                        f"at {found}: move {self._journal.folder} away and begin anew"
                    )

    def _nodes(self) -> int:
        """How many nodes of Kafka are ours to start, also while their data is set aside."""
        aside = replace(self._settings, data_dir=self._journal.folder)
        return kept_nodes(aside) or kept_nodes(self._settings)

    def _once(self, step: str, work: Callable[[], object]) -> None:
        if not self._journal.has(step):
            work()
            self._journal.note(step)
            self._tell(f"done: {step}")

    def _set_log_aside(self, nodes: int) -> None:
        if nodes:
            self._journal.set_aside(self._settings.data_dir / KAFKA)
            return
        with running_brokers(self._settings, nodes) as reachable:
            if existing_topics(reachable):
                raise Refusal(
                    f"Kafka at {reachable.kafka_bootstrap} must be empty now, is not: stop it, set "
                    "its data aside, start it empty, and run logbourse recover again"
                )

    def _write(self, plan: Plan, reachable: Settings, log: KafkaLog) -> None:
        archive = open_export(self._copy)
        own = self._journal.kept(TOPICS)
        create_topics(reachable, catalogue(*_counts(archive)), own)
        write_log(archive, plan, log, _bar("write", archive))

    def _set_snapshots_aside(self, plan: Plan) -> None:
        directory = self._settings.snapshots_dir
        for shard, offsets in plan.spoiled.items():
            for path in files_at(directory, shard, offsets):
                self._journal.set_aside(path, f"snapshots/{shard}/{path.name}")

    def _set_views_aside(self) -> None:
        for name in VIEWS:
            self._journal.set_aside(self._settings.data_dir / name)

    def _say(self, plan: Plan, log: KafkaLog, name: bytes) -> None:
        write_words(plan, log, SystemClock(), name)

    def _proved(self, reachable: Settings) -> bool:
        """Whether the log as it is now is proved to be whole, as far as the former one was."""
        archive = open_live(reachable.kafka_bootstrap)
        former = open_export(self._copy)
        proof = prove(archive, _bar("replay", archive), _bar("audit", archive), former)
        self._tell("\n".join(proof.sentences()))
        return proof.equal and proof.sound


_WAY_ON = """\
The log is whole up to the cut. All markets are halted: traders can cancel, and nothing else.
What was told to clients and is lost stands in {report}
Next:
  1. logbourse run                     (or start your own processes; views are built again)
  2. /x/v1/assets names assets whose withdrawals are halted, as by the auditor before the loss;
     for each: logbourse admin resume-withdrawals --asset ASSET
  3. enter lost withdrawals, then lost deposits again, with the same references:
     logbourse admin withdraw …, logbourse admin deposit …
  4. tell the clients which orders and trades are gone; their ids will be given again
  5. for each market: logbourse admin resume-market --symbol SYMBOL"""


def _counts(archive: Archive) -> tuple[int, int]:
    return archive.manifest.ledger_partitions, archive.manifest.matching_partitions


@contextmanager
def _log_of(settings: Settings) -> Iterator[KafkaLog]:
    log = KafkaLog(settings)
    try:
        yield log
    finally:
        log.close()


def _bar(label: str, archive: Archive) -> Bar:
    return Bar(label, archive.manifest.records())
