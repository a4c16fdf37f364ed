"""Settings: what wins, what is refused, and what the next process finds."""

import json
import stat
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from infra.keys import open_keys
from infra.settings import (
    SettingsError,
    load_settings,
    save_found,
    save_own,
    save_settings,
    settings_file,
    to_environment,
)


def at(data_dir: Path, **variables: str) -> dict[str, str]:
    return {"LOGBOURSE_DATA_DIR": str(data_dir)} | {
        f"LOGBOURSE_{k}": v for k, v in variables.items()
    }


def test_defaults_stand_in_the_data_directory(tmp_path):
    settings = load_settings(at(tmp_path))
    assert settings.clickhouse_dsn == f"chdb://{tmp_path}/clickhouse"
    assert settings.key_file == tmp_path / "keys" / "encryption.key"
    assert (settings.host, settings.public_port) == ("127.0.0.1", 8080)


def test_a_relative_data_directory_is_made_absolute():
    assert (
        load_settings({"LOGBOURSE_DATA_DIR": "elsewhere"}).data_dir == Path("elsewhere").absolute()
    )


def test_the_environment_wins_over_the_file_and_the_file_over_defaults(tmp_path):
    save_settings(replace(load_settings(at(tmp_path)), public_port=9001, query_port=9002))
    settings = load_settings(at(tmp_path, PUBLIC_PORT="9003"))
    assert (settings.public_port, settings.query_port, settings.admin_port) == (9003, 9002, 8082)


def test_what_is_saved_is_what_the_next_process_loads(tmp_path):
    settings = load_settings(at(tmp_path, LEDGER_PARTITIONS="4", REDIS_URL="redis://127.0.0.1:1/2"))
    save_settings(settings)
    assert load_settings(at(tmp_path)) == settings


def test_settings_survive_the_way_through_an_environment(tmp_path):
    settings = load_settings(
        at(tmp_path, MATCHING_PARTITIONS="3", LOG_LEVEL="debug", BEHIND_PROXY="1")
    )
    assert settings.behind_proxy == 1
    assert load_settings(to_environment(settings)) == settings


def test_a_data_directory_that_was_moved_is_used_with_its_own_key(tmp_path):
    settings = load_settings(at(tmp_path / "old"))
    save_settings(settings)
    keys = open_keys(settings.key_file)
    moved = load_settings(at((tmp_path / "old").rename(tmp_path / "new")))
    assert moved.key_file == tmp_path / "new" / "keys" / "encryption.key"
    assert moved.clickhouse_dsn == f"chdb://{tmp_path}/new/clickhouse"
    assert open_keys(moved.key_file) == keys


def test_a_file_of_a_former_build_names_its_places_and_may_be_moved_all_the_same(tmp_path):
    settings = load_settings(at(tmp_path / "old"))
    (tmp_path / "new").mkdir()
    named = {name: v if isinstance(v, int) else str(v) for name, v in asdict(settings).items()}
    settings_file(tmp_path / "new").write_text(json.dumps(named))
    moved = load_settings(at(tmp_path / "new"))
    settings_file(tmp_path / "new").unlink()
    assert moved == load_settings(at(tmp_path / "new"))


def test_a_place_of_its_own_stays_where_it_is(tmp_path):
    key_file = tmp_path / "safe" / "encryption.key"
    save_settings(load_settings(at(tmp_path / "old", KEY_FILE=str(key_file))))
    moved = load_settings(at((tmp_path / "old").rename(tmp_path / "new")))
    assert moved.key_file == key_file
    assert moved.snapshots_dir == tmp_path / "new" / "snapshots"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PUBLIC_PORT", "80x", "LOGBOURSE_PUBLIC_PORT must be a whole number, was '80x'"),
        ("PUBLIC_PORT", "٨٠", "LOGBOURSE_PUBLIC_PORT must be a whole number, was '٨٠'"),
        ("PUBLIC_PORT", "-1", "LOGBOURSE_PUBLIC_PORT must be a whole number, was '-1'"),
        ("PUBLIC_PORT", "70000", "LOGBOURSE_PUBLIC_PORT must lie in 1..65535, was 70000"),
        ("BEHIND_PROXY", "2", "LOGBOURSE_BEHIND_PROXY must lie in 0..1, was 2"),
        ("BEHIND_PROXY", "yes", "LOGBOURSE_BEHIND_PROXY must be a whole number, was 'yes'"),
        ("LEDGER_PARTITIONS", "0", "LOGBOURSE_LEDGER_PARTITIONS must lie in 1..1024, was 0"),
        ("REDIS_URL", "127.0.0.1:6379", "LOGBOURSE_REDIS_URL must begin with redis://"),
        ("CLICKHOUSE_DSN", "chdb://here", "LOGBOURSE_CLICKHOUSE_DSN must begin with chdb:///"),
        (
            "REDIS_URL",
            "redis://h:99999",
            "LOGBOURSE_REDIS_URL must name a port in 1..65535 or none",
        ),
        ("REDIS_URL", "redis://h:x/0", "LOGBOURSE_REDIS_URL must name a port in 1..65535 or none"),
        ("CLICKHOUSE_DSN", "http://h:0", "LOGBOURSE_CLICKHOUSE_DSN must name a port in 1..65535"),
        ("CLICKHOUSE_DSN", "http://[h", "LOGBOURSE_CLICKHOUSE_DSN must name a port in 1..65535"),
        ("KAFKA_BOOTSTRAP", "h:99999", "LOGBOURSE_KAFKA_BOOTSTRAP must be host:port"),
        ("KAFKA_BOOTSTRAP", "h:1,h:0", "LOGBOURSE_KAFKA_BOOTSTRAP must be host:port"),
        ("KAFKA_BOOTSTRAP", "localhost", "LOGBOURSE_KAFKA_BOOTSTRAP must be host:port"),
        ("LOG_LEVEL", "loud", "LOGBOURSE_LOG_LEVEL must be debug or info or warning or error, was"),
        ("LOG_LEVEL", "warnings", "LOGBOURSE_LOG_LEVEL must be debug or info or warning or error,"),
        ("LEASE_STORE", "redis://h/0", "LOGBOURSE_LEASE_STORE must be file or redis, was 'redis:"),
        ("LEASE_STORE", "files", "LOGBOURSE_LEASE_STORE must be file or redis, was 'files'"),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence(tmp_path, name, value, sentence):
    with pytest.raises(SettingsError) as refusal:
        load_settings(at(tmp_path, **{name: value}))
    assert str(refusal.value).startswith(sentence)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "address",
    ["clickhouse://user:hunter2@host/db", "user:hunter2@host", "ftp://host/?password=hunter2",
     "ftp://u:?hunter2@host", "ftp://u:x://hunter2@host"],
)  # fmt: skip
def test_a_refused_address_is_told_without_its_password(tmp_path, address):
    with pytest.raises(SettingsError, match="must begin with chdb:///") as refusal:
        load_settings(at(tmp_path, CLICKHOUSE_DSN=address))
    assert "hunter2" not in str(refusal.value)


def test_addresses_with_passwords_are_kept_from_other_users(tmp_path):
    before = load_settings(at(tmp_path))
    wanted = replace(before, redis_url="redis://:hunter2@127.0.0.1:1/0")
    settings_file(tmp_path).write_text("{}")
    save_found(before, wanted, ["redis_url"])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"settings.json": 0o600, "dodged.json": 0o600}


def test_who_saves_its_own_address_leaves_all_else_as_the_file_has_it(tmp_path):
    data = {"LOGBOURSE_DATA_DIR": str(tmp_path)}
    usual = load_settings(data)
    save_settings(usual)
    told = {"LOGBOURSE_SNAPSHOTS_DIR": "/mnt/x", "LOGBOURSE_QUERY_PORT": "7"}
    beside = replace(load_settings(data | told), redis_url="redis://127.0.0.1:7777/0")
    save_own(beside, ["redis_url"])
    assert load_settings(data) == replace(usual, redis_url="redis://127.0.0.1:7777/0")


@pytest.mark.parametrize("text", ["{", "[]", '{"unknown_key": 1}'])
def test_a_file_that_is_not_ours_is_refused(tmp_path, text):
    settings_file(tmp_path).write_text(text)
    with pytest.raises(SettingsError, match="must hold"):
        load_settings(at(tmp_path))
