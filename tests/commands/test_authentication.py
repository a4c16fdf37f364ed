"""Keys, time windows and signatures."""

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.authentication import KeyAuthenticator, check_time, signed_command_id
from commands.credentials import Credentials
from domain.accounts.messages import (
    ApiKeyCreated,
    ApiKeyRestricted,
    ApiKeyRevoked,
    KeyKind,
    Scope,
)
from infra.http.errors import ApiError
from infra.http.parameters import parse_parameters
from tests.commands.world import ed25519_pair, hmac_hex

NOW_US = 1_790_000_000_000_000
NOW_MS = NOW_US // 1_000
KEY = "k" * 64
SECRET = "s" * 64


def created(kind=KeyKind.HMAC, public_key=b"", allowlist=(), expires_us=0):
    return ApiKeyCreated(
        command_id=b"",
        originator_id=f"key-{KEY}",
        originator_version=1,
        timestamp_us=NOW_US,
        user_id=7,
        api_key=KEY,
        kind=kind,
        sealed_secret=b"sealed" if kind is KeyKind.HMAC else b"",
        public_key=public_key,
        scopes=[Scope.READ, Scope.TRADE],
        ip_allowlist=list(allowlist),
        expires_us=expires_us,
        label="",
    )


def authenticator(*events):
    credentials = Credentials()
    for event in events:
        credentials.apply(event)
    return KeyAuthenticator(credentials, lambda credential: SECRET.encode())


def authenticate(who, query="", body="", key=KEY, client_ip="127.0.0.1", now_us=NOW_US):
    parameters = parse_parameters(query.encode(), body.encode())
    return who.authenticate(key, parameters, client_ip=client_ip, now_us=now_us)


def signed(text, secret=SECRET):
    return f"{text}&signature={hmac_hex(secret, text.encode())}"


def refusal(*args, **kwargs) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        authenticate(*args, **kwargs)
    return caught.value.code, caught.value.msg


def test_a_signature_made_by_openssl_for_the_documented_example_is_accepted():
    # The example of Binance's own documentation, as printed there.
    secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    payload = (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
        "&recvWindow=5000&timestamp=1499827319559"
    )
    documented = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    who = KeyAuthenticator(Credentials(), lambda credential: secret.encode())
    who._credentials.apply(created())
    query = f"{payload}&signature={documented}"
    principal = authenticate(who, query, now_us=1_499_827_319_559_000)
    assert principal.user_id == 7
    assert principal.deadline_us == 1_499_827_324_559_000


@pytest.mark.parametrize("where", ["query", "body", "both"])
def test_the_payload_is_query_then_body_without_separator(where):
    who = authenticator(created())
    first, second = "symbol=BTCUSDT", f"timestamp={NOW_MS}"
    if where == "query":
        assert authenticate(who, signed(f"{first}&{second}")).user_id == 7
    elif where == "body":
        assert authenticate(who, body=signed(f"{first}&{second}")).user_id == 7
    else:
        signature = hmac_hex(SECRET, (first + second).encode())
        assert authenticate(who, first, f"{second}&signature={signature}").user_id == 7


def test_the_signature_may_stand_anywhere_and_in_capitals():
    who = authenticator(created())
    payload = f"a=1&timestamp={NOW_MS}&b=%E2%82%AC+x"
    signature = hmac_hex(SECRET, payload.encode()).upper()
    assert authenticate(who, f"a=1&signature={signature}&timestamp={NOW_MS}&b=%E2%82%AC+x")


def test_ed25519():
    private, public = ed25519_pair()
    who = authenticator(created(KeyKind.ED25519, base64.b64decode(public)))
    payload = f"symbol=BTCUSDT&timestamp={NOW_MS}"
    signature = base64.b64encode(private.sign(payload.encode())).decode()
    assert authenticate(who, f"{payload}&signature={quote(signature, safe='')}").user_id == 7
    assert refusal(who, f"{payload}x&signature={quote(signature, safe='')}")[0] in (-1022, -1100)
    assert refusal(who, f"{payload}&signature=AAAA")[0] == -1022
    assert refusal(who, f"{payload}&signature=%C3%A9")[0] == -1022


@given(st.text(min_size=1, max_size=100))
def test_no_other_signature_is_accepted(signature):
    who = authenticator(created())
    payload = f"timestamp={NOW_MS}"
    assert refusal(who, f"{payload}&signature={quote(signature, safe='')}") == (
        -1022,
        "Signature for this request is not valid.",
    )


def test_keys_that_open_nothing():
    query = signed(f"timestamp={NOW_MS}")
    refused = (-2015, "Invalid API-key, IP, or permissions for action.")
    malformed = (-2014, "API-key format invalid.")
    who = authenticator(created())
    assert refusal(who, query, key="") == malformed
    assert refusal(who, query, key="short") == malformed
    assert refusal(who, query, key="ключ" * 16) == malformed
    assert refusal(who, query, key="x" * 64) == refused
    assert refusal(authenticator(created(expires_us=NOW_US)), query) == refused
    revoked = ApiKeyRevoked(b"", f"key-{KEY}", 2, NOW_US, 7, KEY)
    assert refusal(authenticator(created(), revoked), query) == refused


def test_addresses():
    query = signed(f"timestamp={NOW_MS}")
    who = authenticator(created(allowlist=["10.1.0.0/16", "2001:db8::1"]))
    assert authenticate(who, query, client_ip="10.1.2.3").user_id == 7
    assert authenticate(who, query, client_ip="2001:db8::1").user_id == 7
    for address in ("10.2.0.1", "127.0.0.1", "", "nonsense"):
        assert refusal(who, query, client_ip=address)[0] == -2015


def test_a_restricted_key_keeps_to_its_new_scopes():
    restricted = ApiKeyRestricted(b"", f"key-{KEY}", 2, NOW_US, 7, KEY, [Scope.READ], [], 0)
    who = authenticator(created(), restricted)
    assert authenticate(who, signed(f"timestamp={NOW_MS}")).scopes == {Scope.READ}


AHEAD = "Timestamp for this request was 1000ms ahead of the server's time."
OUTSIDE = "Timestamp for this request is outside of the recvWindow."


@pytest.mark.parametrize(
    ("query", "code", "msg"),
    [
        (f"timestamp={NOW_MS + 1_000}", -1021, AHEAD),
        (f"timestamp={NOW_MS + 3_600_000}", -1021, AHEAD),
        (f"timestamp={NOW_MS - 5_001}", -1021, OUTSIDE),
        (f"timestamp={NOW_US - 5_000_001}", -1021, OUTSIDE),
        (f"timestamp={NOW_MS - 1}&recvWindow=0.999", -1021, OUTSIDE),
        (f"timestamp={NOW_MS}&recvWindow=60001", -1131, "recvWindow must be less than 60000"),
        (f"timestamp={NOW_MS}&recvWindow=60000.001", -1131, "recvWindow must be less than 60000"),
        (f"timestamp={NOW_MS}&recvWindow=600000000", -1131, "recvWindow must be less than 60000"),
        (f"timestamp={NOW_MS}&recvWindow={'9' * 19}", -1131, "recvWindow must be less than 60000"),
        (
            "symbol=BTCUSDT",
            -1102,
            "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.",
        ),
        (
            "timestamp=soon",
            -1100,
            "Illegal characters found in parameter 'timestamp'; legal range is '^[0-9]{1,19}$'.",
        ),
        ("timestamp=", -1105, "Parameter 'timestamp' was empty."),
        (
            f"timestamp={NOW_MS}&recvWindow=-1",
            -1100,
            "Illegal characters found in parameter 'recvWindow'; "
            r"legal range is '^[0-9]{1,19}(\.[0-9]{1,3})?$'.",
        ),
    ],
)
def test_time_windows(query, code, msg):
    assert refusal(authenticator(created()), signed(query)) == (code, msg)


@pytest.mark.parametrize(
    ("query", "deadline_us"),
    [
        (f"timestamp={NOW_MS}", NOW_US + 5_000_000),
        (f"timestamp={NOW_US}", NOW_US + 5_000_000),
        (f"timestamp={NOW_MS + 999}", NOW_US + 5_999_000),
        (f"timestamp={NOW_MS - 5_000}", NOW_US),
        (f"timestamp={NOW_MS}&recvWindow=60000", NOW_US + 60_000_000),
        (f"timestamp={NOW_MS}&recvWindow=0.5", NOW_US + 500),
    ],
)
def test_deadlines(query, deadline_us):
    assert check_time(parse_parameters(query.encode()), NOW_US) == deadline_us


def test_a_signature_is_wanted():
    assert refusal(authenticator(created()), f"timestamp={NOW_MS}") == (
        -1102,
        "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.",
    )


def test_command_ids_tell_keys_and_payloads_apart():
    ids = {signed_command_id(k, p) for k in ("a", "ab") for p in (b"", b"b", b"bb")}
    assert len(ids) == 6
    assert all(len(command_id) == 16 for command_id in ids)
