"""What an audit says of a log that it could not judge, or not all of."""

import json
from dataclasses import replace
from pathlib import Path

from schemas.record import decode_record
from streams.audit import audit
from streams.audit.archive import Bounds
from streams.audit.export import export
from tests.streams.audited_log import Nobody, archived, arguments, partitions_of
from tests.streams.records import forged
from tests.streams.test_audit import world


def test_what_was_appended_while_the_ends_were_read_is_not_judged_and_counted():
    """A manifest may excuse a tail by this; so it is said, and counts as nothing checked."""
    archive = archived(world())
    assert "too new" not in "\n".join(audit.report(audit.audit(archive, Nobody())))
    partitions = partitions_of(world())
    values = partitions[("ledger.ev", 0)]
    last = decode_record(values[-1][1])
    values.append((len(values), forged(values[-1][1], cseq=last.cseq + 1)))
    longer = archived(world(), partitions)
    bounds = dict(longer.manifest.bounds)
    bounds[("ledger.ev", 0)] = Bounds(0, len(values) - 1, len(values))
    result = audit.audit(
        replace(longer, manifest=replace(longer.manifest, bounds=bounds)), Nobody()
    )
    assert result.verdict() == audit.SOUND
    assert result.checks.counts["S3"] == audit.audit(archive, Nobody()).checks.counts["S3"]
    assert "1 record is too new to be judged" in "\n".join(audit.report(result))
    assert audit.as_json(result)["too_new_to_be_judged"] == 1


def test_where_nothing_was_compared_nothing_is_said_to_be_sound(tmp_path: Path, capsys):
    """Genesis stands in each inbox, and no shard has written yet."""
    partitions = {place: values[:1] for place, values in partitions_of(world()).items()}
    partitions = {place: values for place, values in partitions.items() if place[0].endswith("in")}
    archive = archived(world(), partitions)
    archive = replace(archive, manifest=replace(archive.manifest, marks={}))
    export(archive, tmp_path, Nobody())
    assert audit.run(arguments(audit, "--from", str(tmp_path))) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "NOTHING CHECKED"
    assert audit.run(arguments(audit, "--from", str(tmp_path), "--json")) == 1
    assert not json.loads(capsys.readouterr().out)["sound"]
