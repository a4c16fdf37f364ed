"""The proof of a recovered log: equal and sound, but for what a recovery neither did nor mends."""

from dataclasses import dataclass

from infra.log import Partition
from streams.audit.archive import Archive, Progress
from streams.audit.audit import audit
from streams.audit.checks import TITLES, Checks
from streams.audit.findings import Finding, Findings, Kind
from streams.audit.verify import verify


@dataclass(slots=True, frozen=True)
class Proof:
    """Whether replay and audit find nothing that a recovery could mend, and what they say.

    `dropped` is how many records stay that no source has written and whose readers drop them.
    `known` is what the former log had as well, such as a fill that an operator once had skipped.
    """

    equal: bool
    sound: bool
    dropped: int
    words: list[str]
    known: list[str]

    def sentences(self) -> list[str]:
        """What was found, then the verdicts, for a person."""
        excused = []
        if self.dropped:
            excused.append(f"for forged records that their readers drop ({self.dropped:,})")
        if self.known:
            excused.append(f"for what the former log had as well ({len(self.known):,})")
        but = f", but {' and '.join(excused)}" if excused else ""
        return [
            *self.words,
            *(f"so it was before: {words}" for words in self.known),
            f"replay: EQUAL{but}" if self.equal else "replay: DIVERGENT",
            f"audit: SOUND{but}" if self.sound else "audit: VIOLATED",
        ]


def prove(
    archive: Archive, replayed: Progress, audited: Progress, former: Archive | None = None
) -> Proof:
    """Replay and audit the whole log. Raises `BadArchive`.

    A forged record that its reader drops was in the log before the loss, and stays in it. What
    else is wrong must be wrong in the `former` log at the same place, which is judged only then.
    """
    findings, checks = _judge(archive, replayed, audited)
    dropped = [finding.sentence() for finding in findings.roots() if finding.dropped]
    wrong = [finding for finding in findings.listed if not finding.dropped]
    before = _Before(Findings(), Checks())
    if former is not None and (wrong or not checks.ok()):
        before = _Before(*_judge(former, replayed, audited))
    known = [finding for finding in wrong if before.has(finding)]
    hidden = _hidden(findings) > _hidden(before.findings)
    equal = len(known) == len(wrong) and not hidden
    new = [finding.sentence() for finding in wrong if not (finding.consequence or finding in known)]
    violated = [invariant for invariant in TITLES if checks.broken[invariant]]
    fresh = {invariant for invariant in violated if not before.has_violated(invariant, checks)}
    told = [finding.sentence() for finding in known]
    return Proof(
        equal,
        equal and not fresh,
        findings.dropped,
        dropped + new + [words for words in checks.words if _invariant(words) in fresh],
        told + [words for words in checks.words if _invariant(words) not in fresh],
    )


@dataclass(slots=True, frozen=True)
class _Before:
    """What was found in the former log."""

    findings: Findings
    checks: Checks

    def has(self, finding: Finding) -> bool:
        """Whether it was there, and is nothing that a recovery has to mend.

        That are halts, what is missing, lost notices of the quarantine, and records of channels.
        """
        if finding.cseq or finding.kind in (Kind.HALTED, Kind.MISSING, Kind.INPUT_CHANGED):
            return False
        return _name(finding) in map(_name, self.findings.listed)

    def has_violated(self, invariant: str, checks: Checks) -> bool:
        """Whether the invariant was violated as often, and in the same words."""
        said = {words for words in checks.words if _invariant(words) == invariant}
        return checks.broken[invariant] <= self.checks.broken[invariant] and said <= set(
            self.checks.words
        )


def _judge(archive: Archive, replayed: Progress, audited: Progress) -> tuple[Findings, Checks]:
    findings = verify(archive, archive.manifest.shards(), {}, replayed).findings
    checks = audit(archive, audited).checks
    # The audit counts the same findings; of the rest it judges by itself.
    checks.broken["S3"] = 0
    checks.words = [words for words in checks.words if _invariant(words) != "S3"]
    return findings, checks


def _name(finding: Finding) -> tuple[Kind, Partition, int, str]:
    return finding.kind, finding.place, finding.offset, finding.words


def _invariant(words: str) -> str:
    return words.partition(":")[0]


def _hidden(findings: Findings) -> int:
    """How many were found and not listed that no reader drops."""
    listed_as_dropped = sum(finding.dropped for finding in findings.listed)
    return findings.left_out - (findings.dropped - listed_as_dropped)
