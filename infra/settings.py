"""Where the parts of a stack find each other: one value, from the environment over a file."""

import fcntl
import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.files import replace_text
from infra.ports import HIGHEST_PORT
from infra.refusal import Refusal

PREFIX = "LOGBOURSE_"
LOOPBACK = "127.0.0.1"
"""Where the operators' port is, whatever `host` says."""

ADDRESSES = (
    "public_port",
    "query_port",
    "admin_port",
    "metrics_port",
    "kafka_bootstrap",
    "redis_url",
)
"""Where a stack listens, which a start replaces where another one listens already."""

DEFAULT_DATA_DIR = Path(".data")
_BOUNDS = {"behind_proxy": (0, 1), "proxy_step": (0, 10_000)}


class SettingsError(Refusal):
    """A value cannot be used; the text is one sentence with what was wanted and what was found."""


@dataclass(slots=True, frozen=True)
class Settings:
    """Each field is the variable LOGBOURSE_<FIELD>. Empty texts stand for a place in `data_dir`.

    `behind_proxy`: 1 if a TLS proxy on this machine names the client last in X-Forwarded-For. With
    a `proxy_step` the local Kafka and Redis listen that many ports below where everybody,
    themselves included, is told to look for them: a proxy stands there.
    """

    data_dir: Path = DEFAULT_DATA_DIR
    host: str = "127.0.0.1"
    public_port: int = 8080
    query_port: int = 8081
    admin_port: int = 8082
    metrics_port: int = 8090
    behind_proxy: int = 0
    kafka_bootstrap: str = "127.0.0.1:9092"
    redis_url: str = "redis://127.0.0.1:6379/0"
    clickhouse_dsn: str = ""
    ledger_partitions: int = 2
    matching_partitions: int = 2
    replication_factor: int = 1
    key_file: Path = Path()
    admin_token_file: Path = Path()
    log_level: str = "info"
    snapshots_dir: Path = Path()
    lease_store: str = "file"
    proxy_step: int = 0

    @property
    def logs_dir(self) -> Path:
        """Where the supervisor keeps each process's output."""
        return self.data_dir / "logs"


def load_settings(
    environment: Mapping[str, str] = os.environ, *, starting: Collection[str] = ()
) -> Settings:
    """The settings of the stack in LOGBOURSE_DATA_DIR (.data): environment, file, then defaults.

    `starting` are those of `ADDRESSES` where the caller is about to listen: what `save_found` noted
    as wanted is wanted again. Raises `SettingsError` for a value or a file that cannot be used.
    """
    data_dir = Path(environment.get(PREFIX + "DATA_DIR") or DEFAULT_DATA_DIR).absolute()
    values: dict[str, object] = dict(_saved(settings_file(data_dir)))
    for name, (wanted, found) in _dodged(data_dir).items():
        # Who has written another one into the file since wants that.
        if name in starting and values.get(name) == found:
            values[name] = wanted
    known = {PREFIX + field.name.upper(): field.name for field in fields(Settings)}
    values |= {known[name]: text for name, text in environment.items() if name in known}
    values["data_dir"] = data_dir
    typed: dict[str, Any] = {name: _typed(name, value) for name, value in values.items()}
    return _complete(Settings(**typed))


def save_settings(settings: Settings) -> None:
    """Write them where `load_settings` finds them.

    What stands in the data directory is not named, so that it moves with it.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    _write(settings.data_dir, _plain(settings))


def save_own(settings: Settings, own: Collection[str]) -> None:
    """Save these fields: of others, who starts beside may have saved more. All if there is no file.

    Raises `SettingsError` for a file that cannot be used.
    """
    data_dir = settings.data_dir
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "settings.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        values, there = _plain(settings), settings_file(data_dir)
        if there.exists():
            # What it leaves out is as usual, whatever this process was told beside its own.
            values = {name: values[name] for name in (*own, "data_dir") if name in values}
        kept = {n: v for n, v in _saved(there).items() if n not in own}
        _write(data_dir, kept | values)


def save_found(found: Settings, wanted: Settings, starting: Collection[str]) -> None:
    """Save what was free, and beside it what was wanted: the next start wants that again."""
    dodged = {n: pair for n, pair in _dodged(found.data_dir).items() if n not in starting}
    for name in starting:
        pair = getattr(wanted, name), getattr(found, name)
        if pair[0] != pair[1]:
            dodged[name] = pair
    save_settings(found)
    replace_text(_dodged_file(found.data_dir), json.dumps(dodged, indent=2) + "\n", private=True)


def expect_same_partitions(settings: Settings) -> None:
    """Raises `SettingsError` for other numbers than the file has: genesis has frozen them."""
    path = settings_file(settings.data_dir)
    saved = _saved(path)
    for name in ("ledger_partitions", "matching_partitions"):
        wanted, value = saved.get(name), getattr(settings, name)
        if name in saved and str(wanted) != str(value):
            variable = PREFIX + name.upper()
            raise SettingsError(f"{variable} must be {wanted} as in {path}, was {value}")


def to_environment(settings: Settings) -> dict[str, str]:
    """The same settings as variables, for a subprocess that must not depend on a file."""
    return {PREFIX + name.upper(): str(value) for name, value in asdict(settings).items()}


def settings_file(data_dir: Path) -> Path:
    """The file of a stack's settings."""
    return data_dir / "settings.json"


def _plain(settings: Settings) -> dict[str, object]:
    return {name: str(v) if isinstance(v, Path) else v for name, v in asdict(settings).items()}


def _write(data_dir: Path, values: Mapping[str, object]) -> None:
    # The address of a server may have a password in it.
    text = json.dumps(_without_places(values), indent=2) + "\n"
    replace_text(settings_file(data_dir), text, private=True)


def _dodged_file(data_dir: Path) -> Path:
    return data_dir / "dodged.json"


def _dodged(data_dir: Path) -> dict[str, tuple[object, object]]:
    """What the last start wanted and what it found, by name, where these differ."""
    path = _dodged_file(data_dir)
    try:
        places = json.loads(path.read_text()) if path.exists() else {}
        pairs = {name: (wanted, found) for name, (wanted, found) in places.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise SettingsError(f"{path} must hold what `run` wrote, did not: {error!r}") from error
    return pairs


def _saved(path: Path) -> Mapping[str, object]:
    if not path.exists():
        return {}
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise SettingsError(f"{path} must hold JSON, was unreadable: {error}") from error
    known = {field.name for field in fields(Settings)}
    if not isinstance(values, dict) or not values.keys() <= known:
        raise SettingsError(f"{path} must hold only the keys {', '.join(sorted(known))}")
    return _without_places(values)


def _without_places(values: Mapping[str, object]) -> dict[str, object]:
    """All but what is where the data directory named among them has it.

    Former builds saved that, too: a key looked for where it was moved from would be made anew.
    """
    places = _places_in(Path(str(values.get("data_dir", ""))))
    return {name: value for name, value in values.items() if places.get(name) != value}


def _typed(name: str, value: object) -> object:
    default = {field.name: field.default for field in fields(Settings)}[name]
    if isinstance(default, Path):
        return Path(str(value))
    if isinstance(default, int):
        return _whole_number(name, value)
    return str(value)


def _whole_number(name: str, value: object) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise SettingsError(f"{PREFIX}{name.upper()} must be a whole number, was {text!r}")
    number = int(text)
    low, high = _BOUNDS.get(name, (1, HIGHEST_PORT) if name.endswith("_port") else (1, 1_024))
    if not low <= number <= high:
        raise SettingsError(f"{PREFIX}{name.upper()} must lie in {low}..{high}, was {number}")
    return number


def _complete(settings: Settings) -> Settings:
    places = _places_in(settings.data_dir)
    settings = replace(
        settings,
        clickhouse_dsn=settings.clickhouse_dsn or places["clickhouse_dsn"],
        key_file=_placed(settings.key_file, places["key_file"]),
        admin_token_file=_placed(settings.admin_token_file, places["admin_token_file"]),
        snapshots_dir=_placed(settings.snapshots_dir, places["snapshots_dir"]),
    )
    _check_address("redis_url", settings.redis_url, ("redis://", "rediss://", "unix://"))
    _check_address("clickhouse_dsn", settings.clickhouse_dsn, ("chdb:///", "http://", "https://"))
    _check_word("log_level", settings.log_level, ("debug", "info", "warning", "error"))
    _check_word("lease_store", settings.lease_store, ("file", "redis"))
    _check_bootstrap(settings.kafka_bootstrap)
    return settings


def _places_in(data_dir: Path) -> dict[str, str]:
    """What stands in a data directory unless it is put elsewhere, by its setting's name."""
    return {
        "clickhouse_dsn": f"chdb://{data_dir / 'clickhouse'}",
        "key_file": str(data_dir / "keys" / "encryption.key"),
        "admin_token_file": str(data_dir / "keys" / "admin.token"),
        "snapshots_dir": str(data_dir / "snapshots"),
    }


def _placed(path: Path, default: str) -> Path:
    return Path(default) if path == Path() else path.absolute()


def _check_word(name: str, text: str, words: tuple[str, ...]) -> None:
    if text not in words:
        was = _without_credentials(text)
        raise SettingsError(f"{PREFIX}{name.upper()} must be {' or '.join(words)}, was {was!r}")


def _check_address(name: str, text: str, prefixes: tuple[str, ...]) -> None:
    wanted = f"begin with {' or '.join(prefixes)}"
    if text.startswith(prefixes):
        try:
            # Zero is another word for "any", which is nowhere.
            if urlsplit(text).port != 0:
                return
        except ValueError:
            pass
        wanted = f"name a port in 1..{HIGHEST_PORT} or none"
    was = _without_credentials(text)
    raise SettingsError(f"{PREFIX}{name.upper()} must {wanted}, was {was!r}")


def _without_credentials(text: str) -> str:
    """The address, or no more than its scheme where a password may be in it."""
    scheme = re.match(r"([a-z]+://)?", text)
    assert scheme is not None, "an empty one always matches"
    return f"{scheme[0]}…" if "@" in text or "?" in text else text


def _check_bootstrap(text: str) -> None:
    for address in text.split(","):
        host, _, port = address.rpartition(":")
        is_port = port.isascii() and port.isdigit() and len(port) <= len(str(HIGHEST_PORT))
        if not (host and is_port and 1 <= int(port) <= HIGHEST_PORT):
            wanted = f"host:port[,host:port…] with ports in 1..{HIGHEST_PORT}"
            raise SettingsError(f"{PREFIX}KAFKA_BOOTSTRAP must be {wanted}, was {text!r}")
