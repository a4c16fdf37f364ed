"""The operator's surface: each operation, its refusals, its token, and the shell in front of it."""

import argparse
import asyncio
import json
from base64 import b64encode
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from commands.admin import cli
from commands.admin.operations import OPERATIONS
from commands.admin.users import ed25519_bytes
from domain.protocol import NO_DEADLINE_US
from infra.http.errors import ApiError
from infra.refusal import Refusal
from infra.settings import Settings
from tests.commands.world import LIMIT, MARKET, TOKEN, ed25519_pair, opened_world
from tests.infra.speaking import NO_HTTP, speaking, told


async def refused(world, operation, status=400, **body):
    return (await world.operate(operation, status=status, **body))["msg"]


async def test_listing_answers_once_orders_are_possible(tmp_path):
    async with opened_world(tmp_path) as world:
        assert (await world.operate("list-asset", code="BTC", name="Bitcoin"))["assetId"] == 1
        await world.operate("list-asset", code="USDT", name="Tether", decimals=8)
        listed = await world.operate("list-market", **MARKET)
        assert (listed["lot"], listed["tick"]) == (1_000, 10)
        alice = await world.add_user("alice", USDT="1000000")
        await alice.limit("BUY", "59000", "0.1")


async def test_every_answer_to_an_operator_carries_the_position(world):
    token = {"Authorization": f"Bearer {TOKEN}"}
    for headers, status in ((token, 400), ({}, 401)):
        answer = await world.admin.post("/admin/v1/deposit", headers=headers)
        assert answer.status == status
        assert answer.headers["X-Log-Position"].startswith("ledger.ev.0@")
    probe = await world.admin.get("/health/live")
    assert "X-Log-Position" in probe.headers


async def test_what_is_no_whole_number_of_units_is_no_market(tmp_path):
    async with opened_world(tmp_path) as world:
        await world.operate("list-asset", code="BTC", name="Bitcoin")
        await world.operate("list-asset", code="USDT", name="Tether", decimals=6)
        assert "whole quote units" in await refused(world, "list-market", **MARKET)
        coarse = MARKET | {"quantityStep": "0.0001", "minQuantity": "0.0001"}
        price = {"referencePrice": "1e5"}
        assert "'referencePrice'" in await refused(world, "list-market", **coarse | price)
        assert await refused(world, "list-market", **MARKET | {"base": "ETH"}) == (
            "Data sent for parameter 'asset' is not valid."
        )


async def test_refusals_name_their_reason(world):
    alice = await world.add_user("alice", USDT="100")
    assert await refused(world, "register-user", login="alice") == "Refused: LOGIN_TAKEN."
    assert await refused(world, "enable-user", userId=alice.user_id) == "Refused: ALREADY_ENABLED."
    assert await refused(world, "disable-user", userId=9_998) == "Refused: UNKNOWN_USER."
    assert await refused(world, "list-market", **MARKET) == "Refused: SYMBOL_TAKEN."
    assert await refused(world, "list-asset", code="BTC", name="x") == "Refused: ASSET_TAKEN."
    assert await refused(world, "resume-market", symbol="BTCUSDT") == "Refused: NOT_HALTED."
    assert await refused(world, "change-fees", tiers="1:1:1") == "Refused: INVALID_FEES."
    money = {"userId": alice.user_id, "asset": "USDT", "reference": "w-1"}
    assert await refused(world, "withdraw", amount="101", **money) == "Refused: INSUFFICIENT_FUNDS."
    assert await refused(world, "withdraw", amount="0", **money) == "Refused: INVALID_AMOUNT."


async def test_money_moves_once_for_a_reference(world):
    alice = await world.add_user("alice")
    money = {"userId": alice.user_id, "asset": "BTC", "amount": "0.5", "reference": "chain-1"}
    assert (await world.operate("deposit", **money))["repeated"] is False
    assert (await world.operate("deposit", **money))["repeated"] is True
    used = await refused(world, "deposit", **money | {"amount": "0.6"})
    assert used == "Refused: REFERENCE_USED."
    out = {"userId": alice.user_id, "asset": "BTC", "amount": "0.5", "reference": "out-1"}
    assert (await world.operate("withdraw", **out))["repeated"] is False


@pytest.mark.parametrize(
    ("amount", "code"),
    [("0.123456789", -1111), ("1e5", -1130), ("NaN", -1130), ("-1", -1130), ("9" * 30, -1130)],
)
async def test_amounts_are_exact(world, amount, code):
    alice = await world.add_user("alice")
    money = {"userId": alice.user_id, "asset": "BTC", "amount": amount, "reference": "r"}
    assert (await world.operate("deposit", status=400, **money))["code"] == code


@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        ("change-market-rules", {"symbol": "BTCUSDT"}),
        ("list-market", MARKET | {"symbol": "BTCUSDT2"}),
    ],
)
async def test_open_orders_of_a_market_have_an_upper_bound(world, operation, fields):
    """A cancel of all is one message, which must fit into a record."""
    answer = await world.operate(operation, 400, **fields, maxOpenOrders=100_001)
    wanted = "Field 'maxOpenOrders' cannot be used: 100000 is the most, was 100001."
    assert (answer["code"], answer["msg"]) == (-1130, wanted)
    await world.operate(operation, **fields, maxOpenOrders=100_000)


async def test_rules_change_in_part(world):
    alice = await world.add_user("alice", USDT="1000000")
    await world.operate("change-market-rules", symbol="BTCUSDT", minNotional="6000")
    status, found = await alice.order(**LIMIT)
    assert (status, found["msg"]) == (400, "Filter failure: NOTIONAL")
    steps = {"symbol": "BTCUSDT", "quantityStep": "0.001", "priceStep": "0.1"}
    bounds = {"minPrice": "0.1", "minQuantity": "0.001", "referencePrice": "60000"}
    await world.operate("halt-market", symbol="BTCUSDT")
    found = await refused(world, "change-market-rules", **steps, **bounds, minNotional="99999999")
    assert found == "Refused: INVALID_RULES."
    await world.operate("change-market-rules", **steps, **bounds)
    await world.operate("resume-market", symbol="BTCUSDT")
    status, found = await alice.order(**LIMIT | {"quantity": "0.10001"})
    assert (status, found["msg"]) == (400, "Filter failure: LOT_SIZE")
    await alice.limit("BUY", "59000", "0.2")


async def test_fees_and_tiers(world):
    alice = await world.add_user("alice", BTC="1")
    bob = await world.add_user("bob", USDT="100000")
    await world.operate("change-fees", tiers=["0:0:2000", "1:0:0"])
    await alice.limit("SELL", "60000", "0.2")
    found = await bob.limit("BUY", "60000", "0.1")
    assert found["fills"][0]["commission"] == "0.00020000"
    await world.operate("change-fee-tier", userId=bob.user_id, feeTier=1)
    found = await bob.limit("BUY", "60000", "0.1", newClientOrderId="free")
    assert found["fills"][0]["commission"] == "0.00000000"


async def test_keys_can_be_restricted_and_revoked(world):
    alice = await world.add_user("alice", USDT="100000")
    key = {"userId": alice.user_id, "apiKey": alice.api_key}
    query = alice.signed(symbol="BTCUSDT")
    await world.operate("restrict-api-key", **key, ipAllowlist=["10.0.0.0/8"])
    status, found, _ = await alice.send("DELETE", "/api/v3/openOrders", query)
    assert (status, found["code"]) == (401, -2015)
    await world.operate("restrict-api-key", **key, scopes="TRADE")
    status, found, _ = await alice.send("DELETE", "/api/v3/openOrders", query)
    assert (status, found["code"]) == (401, -2015)
    await world.operate("restrict-api-key", **key, ipAllowlist="")
    status, _, _ = await alice.send("DELETE", "/api/v3/openOrders", query)
    assert status == 400
    await world.operate("revoke-api-key", **key)
    status, found, _ = await alice.send("DELETE", "/api/v3/openOrders", query)
    assert (status, found["code"]) == (401, -2015)
    assert await refused(world, "revoke-api-key", **key) == "Refused: KEY_REVOKED."
    wrong = await refused(world, "create-api-key", userId=alice.user_id, scopes="ALL")
    assert wrong == "Data sent for parameter 'scopes' is not valid."


async def test_an_ed25519_key_signs_orders(world):
    alice = await world.add_user("alice", USDT="100000")
    private, public = ed25519_pair()
    key = await world.operate("create-api-key", userId=alice.user_id, publicKey=public)
    assert "secretKey" not in key
    payload = f"symbol=BTCUSDT&timestamp={world.now_ms}"
    signature = quote(b64encode(private.sign(payload.encode())).decode(), safe="")
    alice.api_key = key["apiKey"]
    query = f"{payload}&signature={signature}"
    status, found, _ = await alice.send("DELETE", "/api/v3/openOrders", query)
    assert (status, found["code"]) == (400, -2011)


UNSUPPORTED = "MCowBQYDKgMEAyEAAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
"""The DER of a public key of an algorithm that nobody knows (1.2.3.4)."""


def test_public_keys_in_all_their_forms():
    private, raw = ed25519_pair()
    public = private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    der = b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    assert ed25519_bytes(pem) == ed25519_bytes(der) == ed25519_bytes(raw)
    other = X25519PrivateKey.generate().public_key()
    wrong = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    unknown = f"-----BEGIN PUBLIC KEY-----\n{UNSUPPORTED}\n-----END PUBLIC KEY-----\n"
    for text in (wrong, "nonsense", "AAAA", "-----BEGIN", UNSUPPORTED, unknown):
        with pytest.raises(ApiError, match="publicKey"):
            ed25519_bytes(text)


async def test_no_secret_reaches_the_log(world):
    alice = await world.add_user("alice")
    secret, login = alice.secret.encode(), b"alice"
    for records in world.exchange.topics.values():
        assert not any(secret in record.value or login in record.value for record in records)
    assert not any(secret in value for _, _, value in world.exchange.records_in)


async def test_numbers_beyond_what_the_log_holds_are_refused(world):
    alice = await world.add_user("alice")
    wrong = await refused(world, "create-api-key", userId=alice.user_id, expiresMs=1 << 62)
    assert wrong == "Data sent for parameter 'expiresMs' is not valid."
    wrong = await refused(world, "change-fees", tiers=f"0:{1 << 70}:1")
    assert wrong == "Data sent for parameter 'tiers' is not valid."
    wrong = await refused(world, "deposit", userId=2, asset="BTC", amount="1", reference="\ud800")
    assert "'reference'" in wrong


async def test_a_halt_is_resolved_in_the_inbox(world):
    world.exchange.held = []
    halt = {"shard": "M1", "recordHash": "ab" * 16, "action": "cancel-only"}
    assert await world.operate("resolve-halt", **halt) == {"written": True}
    ((shard, source, _, (resolve,)),) = world.exchange.held
    assert (shard, source, resolve.action.name) == ("M1", "operator", "CANCEL_ONLY")
    assert resolve.record_hash == bytes.fromhex("ab" * 16)
    assert resolve.deadline_us == NO_DEADLINE_US, "log time may be ahead of the clock"
    short = {"recordHash": "ab" * 15}
    for wrong in ({"shard": "M9"}, {"recordHash": "xyz"}, short, {"action": "forget"}):
        assert "is not valid" in await refused(world, "resolve-halt", **halt | wrong)


async def test_nothing_of_an_asset_leaves_until_an_operator_lets_it(world):
    alice = await world.add_user("alice")
    money = {"userId": alice.user_id, "asset": "BTC", "amount": "1"}
    await world.operate("deposit", **money, reference="in")
    await world.operate("halt-withdrawals", asset="BTC", reason="L2 ledger.ev.0@17")
    wrong = await refused(world, "withdraw", **money, reference="out")
    assert wrong == "Refused: WITHDRAWALS_HALTED."
    assert await refused(world, "halt-withdrawals", asset="BTC") == "Refused: ALREADY_HALTED."
    await world.operate("resume-withdrawals", asset="BTC")
    await world.operate("withdraw", **money, reference="out")
    assert await refused(world, "resume-withdrawals", asset="BTC") == "Refused: NOT_HALTED."


async def test_nothing_leaves_while_the_shard_is_down_that_could_halt_it(world):
    alice = await world.add_user("alice")
    money = {"userId": alice.user_id, "asset": "BTC", "amount": "1"}
    await world.operate("deposit", **money, reference="in")
    world.exchange.clock.us += 60_000_000
    world.exchange.tick(down=["A0"])
    await world.until_missing(["A0 lags"])
    before = len(world.exchange.records_in)
    answer = await world.operate("withdraw", status=503, **money, reference="out")
    assert answer["code"] == -1008
    assert "A0" in answer["msg"]
    assert len(world.exchange.records_in) == before
    await world.operate("deposit", **money, reference="in 2")
    world.exchange.tick()
    await world.until_missing([])
    assert (await world.operate("withdraw", **money, reference="out"))["repeated"] is False


async def test_only_the_token_opens_the_admin_port(world):
    not_utf8 = {"Authorization": "Bearer \udcff"}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, not_utf8):
        answer = await world.admin.post("/admin/v1/register-user", json={}, headers=headers)
        assert answer.status == 401
        assert (await answer.json())["code"] == -1002
    assert (await world.admin.get("/health/live")).status == 200
    assert (await world.admin.get("/health/ready")).status == 200


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "{",
        "null",
        '{"login": 7}',
        '{"login": ""}',
        '{"login": "a", "feeTier": "0"}',
        '{"login": "a", "feeTier": true}',
        '{"login": "a", "more": 1}',
        '{"feeTier": 1e400}',
        '{"login": "\\ud800"}',
        "[" * 50_000,
    ],
)
async def test_malformed_bodies(world, body):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = await world.admin.post("/admin/v1/register-user", data=body, headers=headers)
    assert answer.status == 400
    assert (await answer.json())["code"] in (-1102, -1104)


async def test_the_shell_speaks_to_the_admin_port(world, tmp_path, capsys, monkeypatch):
    token_file = tmp_path / "admin.token"
    # The admin port is on the loopback, wherever the public one is.
    settings = Settings(host="192.0.2.1", admin_port=world.admin.port, admin_token_file=token_file)
    monkeypatch.setattr(cli, "load_settings", lambda: settings)
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    words = parser.parse_args(["register-user", "--login", "carol"])
    with pytest.raises(Refusal, match="must hold the admin token, is missing"):
        cli.run(words)
    token_file.write_text(TOKEN)
    token_file.chmod(0o600)
    assert await asyncio.to_thread(cli.run, words) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed[printed.index("{") :])["userId"] > 0
    with pytest.raises(Refusal, match=r"^-2010: Refused: LOGIN_TAKEN\.$"):
        await asyncio.to_thread(cli.run, words)


NO_ANSWERS = [
    *NO_HTTP,
    told("200 OK", b"<html>a router</html>"),
    told("200 OK", b"[1]"),
    told("200 OK", b"[" * 100_000),
    told("400 Bad", b'["msg"]'),
    told("502 Bad", b"\xff"),
]


@pytest.mark.parametrize("words", NO_ANSWERS, ids=lambda words: repr(words[:24]))
def test_whoever_else_answers_at_the_admin_port_is_told_in_one_sentence(words, tmp_path):
    token_file = tmp_path / "admin.token"
    token_file.write_text(TOKEN)
    token_file.chmod(0o600)
    with (
        speaking(words) as port,
        pytest.raises(Refusal, match=r"^the admin port 127.* must answer"),
    ):
        cli.call(Settings(admin_port=port, admin_token_file=token_file), "resume", {})


def test_every_operation_has_its_options():
    parser = argparse.ArgumentParser(exit_on_error=False)
    cli.add_arguments(parser)
    for operation in OPERATIONS:
        words = [operation.name]
        for field in operation.fields:
            if field.default is None and not field.optional:
                option = "".join(f"-{c.lower()}" if c.isupper() else c for c in field.name)
                words += [f"--{option}", "1"]
        assert parser.parse_args(words).operation == operation.name
