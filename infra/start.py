"""What every command asks that starts servers of its own on a data directory."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from infra.data_lock import owned_data, owned_part
from infra.recoveries import expect_no_recovery
from infra.settings import Settings, expect_same_partitions, load_settings


@contextmanager
def starting(*, addresses: Collection[str] = (), part: str = "") -> Iterator[Settings]:
    """The settings of who starts here, and owns the data, or this `part` of them, meanwhile.

    `addresses`: settings of where it listens, if nobody who runs on knows them; what was wanted
    once is wanted again. Raises `Refusal` while others run on the data or a recovery is not
    finished, and for other partitions than they have.
    """
    settings = load_settings(starting=addresses)
    with owned_part(settings, part) if part else owned_data(settings):
        expect_no_recovery(settings.data_dir)
        expect_same_partitions(settings)
        yield settings
