"""Accounts as plain dicts and if-chains: the oracle of the accounts decider, sharing only messages.

It keeps rows, not events: no aggregates, no versions, no log time in the rows.
"""

import itertools
import re
import socket
from typing import Any

from domain.accounts import messages as m
from domain.decider import Command

Answer = tuple[str, Any]
"""The name of the event a command causes, with the reason or the new id where there is one."""


class NaiveAccounts:
    """One partition's accounts; `run` changes the rows and says what happened."""

    def __init__(self, partition: int, partitions: int, tiers: list[int]) -> None:
        self.partition = partition
        self.partitions = partitions
        self.tiers = list(tiers)
        self.users: dict[int, dict[str, Any]] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.assets: list[tuple[str, int]] = []
        self.halted: set[int] = set()

    def run(self, command: Command, time_us: int) -> Answer:
        """What `command` answers at `time_us`."""
        name = type(command).__name__
        method = getattr(self, "_" + re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower())
        answer: Answer = method(command, time_us)
        return answer

    def _register_user(self, c: m.RegisterUser, now: int) -> Answer:
        if any(user["login"] == c.login_digest for user in self.users.values()):
            return _no("LOGIN_TAKEN")
        if c.fee_tier not in self.tiers:
            return _no("UNKNOWN_FEE_TIER")
        last = max(self.users, default=self.partition)
        self.users[last + self.partitions] = {
            "login": c.login_digest,
            "tier": c.fee_tier,
            "enabled": True,
        }
        return "UserRegistered", last + self.partitions

    def _enable_user(self, c: m.EnableUser, now: int) -> Answer:
        return self._switch(c.user_id, True, "ALREADY_ENABLED", "UserEnabled")

    def _disable_user(self, c: m.DisableUser, now: int) -> Answer:
        return self._switch(c.user_id, False, "ALREADY_DISABLED", "UserDisabled")

    def _switch(self, user_id: int, enabled: bool, already: str, event: str) -> Answer:
        if user_id not in self.users:
            return _no("UNKNOWN_USER")
        if self.users[user_id]["enabled"] is enabled:
            return _no(already)
        self.users[user_id]["enabled"] = enabled
        return event, None

    def _change_fee_tier(self, c: m.ChangeFeeTier, now: int) -> Answer:
        if c.user_id not in self.users:
            return _no("UNKNOWN_USER")
        if c.fee_tier not in self.tiers:
            return _no("UNKNOWN_FEE_TIER")
        self.users[c.user_id]["tier"] = c.fee_tier
        return "FeeTierChanged", None

    def _create_api_key(self, c: m.CreateApiKey, now: int) -> Answer:
        hmac = c.kind == 0 and c.sealed_secret != b"" and c.public_key == b""
        ed25519 = c.kind == 1 and c.sealed_secret == b"" and len(c.public_key) == 32
        checks = [
            (c.user_id in self.users, "UNKNOWN_USER"),
            (self.users.get(c.user_id, {}).get("enabled"), "USER_DISABLED"),
            (c.api_key not in self.keys, "KEY_TAKEN"),
            (re.fullmatch(r"[-_0-9A-Za-z]{1,64}", c.api_key), "INVALID_KEY"),
            (len(c.label) <= 100, "INVALID_KEY"),
            (hmac or ed25519, "INVALID_KEY"),
            *_what_is_granted(c, now),
        ]
        for holds, reason in checks:
            if not holds:
                return _no(reason)
        self.keys[c.api_key] = {"user": c.user_id, "revoked": False, **_grant(c)}
        return "ApiKeyCreated", None

    def _restrict_api_key(self, c: m.RestrictApiKey, now: int) -> Answer:
        for holds, reason in [*self._key_is_there(c), *_what_is_granted(c, now)]:
            if not holds:
                return _no(reason)
        self.keys[c.api_key].update(_grant(c))
        return "ApiKeyRestricted", None

    def _revoke_api_key(self, c: m.RevokeApiKey, now: int) -> Answer:
        for holds, reason in self._key_is_there(c):
            if not holds:
                return _no(reason)
        self.keys[c.api_key]["revoked"] = True
        return "ApiKeyRevoked", None

    def _key_is_there(self, c: Any) -> list[tuple[Any, str]]:
        key = self.keys.get(c.api_key, {})
        return [
            (c.user_id in self.users, "UNKNOWN_USER"),
            (key.get("user") == c.user_id, "UNKNOWN_KEY"),
            (not key.get("revoked"), "KEY_REVOKED"),
        ]

    def _list_asset(self, c: m.ListAsset, now: int) -> Answer:
        if not re.fullmatch(r"[0-9A-Z]{2,10}", c.code) or c.decimals not in range(19):
            return _no("INVALID_ASSET")
        if c.code in [code for code, _ in self.assets]:
            return _no("ASSET_TAKEN")
        self.assets.append((c.code, c.decimals))
        return "AssetListed", len(self.assets)

    def _halt_withdrawals(self, c: m.HaltWithdrawals, now: int) -> Answer:
        for holds, reason in self._what_is_switched(c, c.asset_id not in self.halted, "ALREADY_"):
            if not holds:
                return _no(reason)
        self.halted.add(c.asset_id)
        return "WithdrawalsHalted", None

    def _resume_withdrawals(self, c: m.ResumeWithdrawals, now: int) -> Answer:
        for holds, reason in self._what_is_switched(c, c.asset_id in self.halted, "NOT_"):
            if not holds:
                return _no(reason)
        self.halted.remove(c.asset_id)
        return "WithdrawalsResumed", None

    def _what_is_switched(self, c: Any, possible: bool, word: str) -> list[tuple[Any, str]]:
        return [
            (c.asset_id in range(1, len(self.assets) + 1), "UNKNOWN_ASSET"),
            (possible, word + "HALTED"),
            (re.fullmatch(r"[ -~]{1,200}", c.reason), "INVALID_REASON"),
        ]

    def _change_fees(self, c: m.ChangeFees, now: int) -> Answer:
        numbers = sorted(tier.tier for tier in c.fee_tiers)
        rates = [rate for tier in c.fee_tiers for rate in (tier.maker_ppm, tier.taker_ppm)]
        in_order = numbers[:1] == [0] and all(a < b for a, b in itertools.pairwise(numbers))
        if not in_order or any(rate not in range(100_001) for rate in rates):
            return _no("INVALID_FEES")
        if any(tier not in numbers for tier in self.tiers):
            return _no("INVALID_FEES")
        self.tiers = numbers
        return "FeesChanged", None


def _no(reason: str) -> Answer:
    return "AccountsCommandRejected", reason


def _grant(c: Any) -> dict[str, Any]:
    return {"scopes": list(c.scopes), "ips": list(c.ip_allowlist), "expires": c.expires_us}


def _what_is_granted(c: Any, now: int) -> list[tuple[Any, str]]:
    scopes = [int(scope) for scope in c.scopes]
    return [
        (scopes and all(scopes.count(scope) == 1 for scope in scopes), "INVALID_SCOPES"),
        (len(c.ip_allowlist) <= 30 and all(map(_is_address, c.ip_allowlist)), "INVALID_ADDRESSES"),
        (c.expires_us == 0 or c.expires_us > now, "INVALID_EXPIRY"),
    ]


def _is_address(text: str) -> bool:
    """By the C library's parser and bit arithmetic."""
    address, slash, length = text.partition("/")
    for family, bits in ((socket.AF_INET, 32), (socket.AF_INET6, 128)):
        try:
            number = int.from_bytes(socket.inet_pton(family, address), "big")
        except (OSError, ValueError):
            continue
        if not slash:
            return True
        if not re.fullmatch(r"[0-9]{1,3}", length) or int(length) > bits:
            return False
        return number % (1 << (bits - int(length))) == 0
    return False
