"""Builds in ClickHouse: a database for each, its tables by versioned migrations, and the flip."""

from pathlib import Path

from infra.clickhouse import ClickHouseClient
from projections.layout import CURRENT_BUILD_SQL, FIRST_BUILD, database

MIGRATIONS = Path(__file__).parent / "migrations"

SILENT_S = 60
"""Who builds stores something many times a minute; after so long without it was killed."""

_WRITTEN_SQL = """
    SELECT count() FROM system.parts
    WHERE database = {database:String} AND modification_time > now() - {silent:Int64}
"""


def current_build(client: ClickHouseClient) -> str:
    """The build that readers read, with its tables; the first one is made if there is none yet."""
    client.command("CREATE DATABASE IF NOT EXISTS logbourse")
    client.command(
        "CREATE TABLE IF NOT EXISTS logbourse.builds (build String, flipped Int64) "
        "ENGINE = MergeTree ORDER BY flipped"
    )
    build = named_build(client)
    if not build:
        make_build(client, FIRST_BUILD)
        flip(client, FIRST_BUILD)
        return FIRST_BUILD
    return build


def named_build(client: ClickHouseClient) -> str:
    """The build that readers read; empty if there is none yet."""
    return str(client.query(CURRENT_BUILD_SQL).result_rows[0][0])


def is_being_built(client: ClickHouseClient, build: str) -> bool:
    """Whether anybody has written to the build within the last minute, as the server counts."""
    names = {"database": database(build), "silent": SILENT_S}
    return int(client.query(_WRITTEN_SQL, parameters=names).result_rows[0][0]) > 0


def make_build(client: ClickHouseClient, build: str) -> list[str]:
    """Bring the build's tables to the newest version; returns the migrations that ran."""
    name = database(build)
    client.command(f"CREATE DATABASE IF NOT EXISTS {name}")
    client.command(
        f"CREATE TABLE IF NOT EXISTS {name}.migrations (name String) "
        "ENGINE = MergeTree ORDER BY name"
    )
    done = {row[0] for row in client.query(f"SELECT name FROM {name}.migrations").result_rows}
    ran = []
    for path in sorted(MIGRATIONS.glob("*.sql")):
        if path.name not in done:
            for statement in statements(path.read_text()):
                client.command(statement.replace("{database}", name))
            client.insert("migrations", [(path.name,)], column_names=["name"], database=name)
            ran.append(path.name)
    return ran


def flip(client: ClickHouseClient, build: str) -> None:
    """Let readers read this build from now on; one row says so."""
    number = client.query("SELECT max(flipped) + 1 FROM logbourse.builds").result_rows[0][0]
    client.insert(
        "builds", [(build, number)], column_names=["build", "flipped"], database="logbourse"
    )


def remove_build(client: ClickHouseClient, build: str) -> None:
    """Remove a build that is not current, with all its rows."""
    assert current_build(client) != build, f"build {build} is the current one"
    client.command(f"DROP DATABASE IF EXISTS {database(build)} SYNC")


def statements(text: str) -> list[str]:
    """The statements of a migration, without comments."""
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [part.strip() for part in "\n".join(lines).split(";") if part.strip()]
