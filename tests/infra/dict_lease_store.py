"""A store of leases in memory, and a clock that a test moves."""

from infra.lease import LeaseEntry


class Now:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


class DictStore:
    """Entries in memory; `away` makes every question fail."""

    def __init__(self) -> None:
        self.entries: dict[str, LeaseEntry] = {}
        self.away = False

    def read(self, name: str) -> LeaseEntry | None:
        if self.away:
            raise OSError("away")
        return self.entries.get(name)

    def swap(self, name: str, old: LeaseEntry | None, new: LeaseEntry) -> bool:
        if self.read(name) != old:
            return False
        self.entries[name] = new
        return True
