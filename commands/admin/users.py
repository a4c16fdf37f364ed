"""Operations on users, their API keys and their money."""

import base64
import binascii
import secrets
from dataclasses import replace
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from commands.admin.fields import Fields
from commands.admin.operator import Operator, shown_by
from domain import money
from domain.accounts.messages import (
    ApiKeyCreated,
    ApiKeyRestricted,
    ApiKeyRevoked,
    ChangeFeeTier,
    CreateApiKey,
    DisableUser,
    EnableUser,
    FeeTierChanged,
    KeyKind,
    RegisterUser,
    RestrictApiKey,
    RevokeApiKey,
    Scope,
    UserDisabled,
    UserEnabled,
    UserRegistered,
)
from domain.decider import Command, Message
from domain.ledger.messages import (
    AccountOpened,
    CreditDeposit,
    DebitWithdrawal,
    DepositCredited,
    FundingRepeated,
    WithdrawalDebited,
)
from domain.reference import login_partition
from infra.http import errors

KEY_BYTES = 48
"""Of randomness: 64 characters of text."""


async def register_user(operator: Operator, fields: Fields) -> dict[str, Any]:
    """A new user, once the ledger shows the account."""
    digest = operator.keys.login_digest(fields.text("login"))
    partitions = len(operator.ledger_shards())
    partition = login_partition(digest, partitions)
    command = RegisterUser(*operator.identity(), digest, fields.integer("feeTier"))
    shown = shown_by([f"A{partition}"], UserRegistered) | shown_by([f"L{partition}"], AccountOpened)
    answer = await operator.run(f"A{partition}", command, shown)
    user_id = next(
        seen.message.user_id for seen in answer.seen if isinstance(seen.message, AccountOpened)
    )
    return {"userId": user_id, "position": answer.position()}


async def enable_user(operator: Operator, fields: Fields) -> dict[str, Any]:
    """The user may trade again."""
    user_id = fields.integer("userId")
    return await _told_to_ledger(
        operator, user_id, EnableUser(*operator.identity(), user_id), UserEnabled
    )


async def disable_user(operator: Operator, fields: Fields) -> dict[str, Any]:
    """The user may only cancel."""
    user_id = fields.integer("userId")
    return await _told_to_ledger(
        operator, user_id, DisableUser(*operator.identity(), user_id), UserDisabled
    )


async def change_fee_tier(operator: Operator, fields: Fields) -> dict[str, Any]:
    """The user pays the rates of another tier."""
    user_id = fields.integer("userId")
    command = ChangeFeeTier(*operator.identity(), user_id, fields.integer("feeTier"))
    return await _told_to_ledger(operator, user_id, command, FeeTierChanged)


async def create_api_key(operator: Operator, fields: Fields) -> dict[str, Any]:
    """A new key: with a public key an Ed25519 one, else an HMAC one whose secret is told once."""
    user_id = fields.integer("userId")
    api_key, secret = secrets.token_urlsafe(KEY_BYTES), secrets.token_urlsafe(KEY_BYTES)
    pem = fields.optional_text("publicKey")
    sealed = operator.keys.seal(secret.encode(), api_key.encode()) if pem is None else b""
    command = CreateApiKey(
        *operator.identity(),
        user_id=user_id,
        api_key=api_key,
        kind=KeyKind.HMAC if pem is None else KeyKind.ED25519,
        sealed_secret=sealed,
        public_key=b"" if pem is None else ed25519_bytes(pem),
        scopes=_scopes(fields.texts("scopes")),
        ip_allowlist=fields.texts("ipAllowlist"),
        expires_us=_expiry_us(fields.integer("expiresMs")),
        label=fields.optional_text("label") or "",
    )
    shard = operator.accounts_shard(user_id)
    answer = await operator.run(shard, command, shown_by([shard], ApiKeyCreated))
    told = {"apiKey": api_key, "position": answer.position()}
    return told if pem is not None else {"secretKey": secret, **told}


async def restrict_api_key(operator: Operator, fields: Fields) -> dict[str, Any]:
    """Other scopes, addresses or end for a key; what is not given stays.

    All three are sent, so each change is built upon the one before: raises -1008 while the shard
    lags that tells of it. Two gateways at once are not told apart.
    """
    shard = operator.accounts_shard(fields.integer("userId"))
    async with operator.changing(shard):
        command = _restriction(operator, fields)
        answer = await operator.run(shard, command, shown_by([shard], ApiKeyRestricted))
    return {"position": answer.position()}


async def revoke_api_key(operator: Operator, fields: Fields) -> dict[str, Any]:
    """The key opens nothing any more."""
    user_id = fields.integer("userId")
    command = RevokeApiKey(*operator.identity(), user_id, fields.text("apiKey"))
    shard = operator.accounts_shard(user_id)
    answer = await operator.run(shard, command, shown_by([shard], ApiKeyRevoked))
    return {"position": answer.position()}


async def deposit(operator: Operator, fields: Fields) -> dict[str, Any]:
    """Credit what arrived; the same reference again moves nothing and says so."""
    user_id, asset_id, amount = _funding(operator, fields)
    command = CreditDeposit(
        *operator.identity(), user_id, asset_id, amount, fields.text("reference")
    )
    return await _fund(operator, command, DepositCredited)


async def withdraw(operator: Operator, fields: Fields) -> dict[str, Any]:
    """Debit what leaves; the same reference again moves nothing and says so.

    Raises -1008 while the shard lags through which withdrawals are halted: nobody could stop it.
    """
    operator.execution.expect_no_lag(["A0"])
    user_id, asset_id, amount = _funding(operator, fields)
    command = DebitWithdrawal(
        *operator.identity(), user_id, asset_id, amount, fields.text("reference")
    )
    return await _fund(operator, command, WithdrawalDebited)


def ed25519_bytes(text: str) -> bytes:
    """The 32 bytes of a public key in PEM, or in base64 of them or of their DER; -1130 if none."""
    try:
        if "BEGIN" in text:
            key = load_pem_public_key(text.encode())
        else:
            raw = base64.b64decode(text, validate=True)
            key = (
                Ed25519PublicKey.from_public_bytes(raw)
                if len(raw) == 32
                else load_der_public_key(raw)
            )
    except (UnsupportedAlgorithm, ValueError, binascii.Error):
        raise errors.invalid_data("publicKey") from None
    if not isinstance(key, Ed25519PublicKey):
        raise errors.invalid_data("publicKey")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


async def _told_to_ledger(
    operator: Operator, user_id: int, command: Command, event: type[Message]
) -> dict[str, Any]:
    shard = operator.accounts_shard(user_id)
    shown = shown_by([shard, operator.ledger_shard(user_id)], event)
    answer = await operator.run(shard, command, shown)
    return {"position": answer.position()}


def _restriction(operator: Operator, fields: Fields) -> RestrictApiKey:
    user_id, api_key = fields.integer("userId"), fields.text("apiKey")
    command = RestrictApiKey(*operator.identity(), user_id, api_key, [], [], 0)
    present = operator.credentials.find(api_key)
    if present is None:
        # There is nothing to keep. Without scopes it is refused, whatever the shard knows of it.
        return command
    scopes = fields.optional_texts("scopes")
    addresses = fields.optional_texts("ipAllowlist")
    expires_ms = fields.optional_integer("expiresMs")
    return replace(
        command,
        scopes=sorted(present.scopes) if scopes is None else _scopes(scopes),
        ip_allowlist=[str(each) for each in present.networks] if addresses is None else addresses,
        expires_us=present.expires_us if expires_ms is None else _expiry_us(expires_ms),
    )


def _scopes(texts: list[str]) -> list[Scope]:
    names = [text.upper() for text in texts]
    if not names or not set(names) <= Scope.__members__.keys():
        raise errors.invalid_data("scopes")
    return [Scope[name] for name in names]


def _expiry_us(expires_ms: int) -> int:
    expires_us = expires_ms * 1_000
    if abs(expires_us) >= 1 << 63:
        raise errors.invalid_data("expiresMs")
    return expires_us


def _funding(operator: Operator, fields: Fields) -> tuple[int, int, int]:
    """User id, asset id and amount in smallest units."""
    asset = operator.asset(fields.text("asset"))
    try:
        amount = money.parse_amount(fields.text("amount"), asset.decimals)
    except money.TooPrecise:
        raise errors.too_precise("amount") from None
    except money.NumberRefused:
        raise errors.invalid_data("amount") from None
    return fields.integer("userId"), asset.asset_id, amount


async def _fund(
    operator: Operator, command: CreditDeposit | DebitWithdrawal, event: type[Message]
) -> dict[str, Any]:
    shard = operator.ledger_shard(command.user_id)
    answer = await operator.run(shard, command, shown_by([shard], event, FundingRepeated))
    repeated = isinstance(answer.last, FundingRepeated)
    return {"repeated": repeated, "position": answer.position()}
