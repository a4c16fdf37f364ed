"""The proof of a recovered log: equal and sound, but for forged records that readers drop."""

from dataclasses import dataclass

from streams.audit.archive import Archive, Progress
from streams.audit.audit import audit
from streams.audit.verify import verify


@dataclass(slots=True, frozen=True)
class Proof:
    """Whether replay and audit find nothing that a recovery could mend, and what they say.

    `dropped` is how many records stay that no source has written and whose readers drop them.
    """

    equal: bool
    sound: bool
    dropped: int
    words: list[str]

    def sentences(self) -> list[str]:
        """What was found, then the verdicts, for a person."""
        forged = ""
        if self.equal and self.dropped:
            forged = f", but for forged records that their readers drop ({self.dropped:,})"
        return [
            *self.words,
            f"replay: {'EQUAL' if self.equal else 'DIVERGENT'}{forged}",
            f"audit: {'SOUND' if self.sound else 'VIOLATED'}{forged}",
        ]


def prove(archive: Archive, replayed: Progress, audited: Progress, processes: int = 0) -> Proof:
    """Replay and audit the whole log. Raises `BadArchive`.

    A forged record that its reader drops was in the log before the loss, and stays in it.
    """
    findings = verify(archive, archive.manifest.shards(), {}, replayed, processes).findings
    checks = audit(archive, audited, processes).checks
    equal = findings.are_all_dropped()
    if equal:
        # The audit counts the same findings; of the rest it judges by itself.
        checks.broken["S3"] = 0
    words = [finding.sentence() for finding in findings.roots()] + checks.words
    return Proof(equal, checks.ok(), findings.dropped, words)
