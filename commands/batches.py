"""What a batch of orders is: its form, its size, and the identity of each order in it."""

import hashlib
from collections.abc import Mapping
from typing import Any

from infra.http import errors
from infra.http.errors import ApiError
from infra.http.json_text import parse_json, text_values
from infra.http.parameters import SIGNING, Parameters

MAX_ORDERS = 100
BATCH_WEIGHT = 5
"""Request weight of a batch of up to 5 orders; each order above weighs 1, as it would alone."""


def parse_batch(document: bytes) -> list[Any]:
    """The elements of a JSON array. Raises -1135 for anything else, -1130 if not 1 to 100."""
    found = parse_json(document)
    if not isinstance(found, list):
        raise errors.invalid_json()
    if not 1 <= len(found) <= MAX_ORDERS:
        raise errors.batch_size(MAX_ORDERS, len(found))
    return found


def parse_element(found: Any) -> Parameters:
    """An order of the batch, as a request of its own would have sent it.

    Raises -1135 for what is no JSON object, -1106 for what signs the batch and not an order, and
    as `text_values` does.
    """
    if not isinstance(found, Mapping):
        raise errors.invalid_json()
    values = text_values(found)
    for name in SIGNING:
        if name in values:
            raise errors.not_required(name)
    return Parameters(values=values)


def element_id(batch_id: bytes, index: int) -> bytes:
    """The 16-byte identity of the order at `index` of a signed batch: the same bytes, the same."""
    place = index.to_bytes(2, "big")
    return hashlib.blake2b(batch_id + place, digest_size=16, person=b"batch element").digest()


def refusal(error: ApiError) -> dict[str, Any]:
    """An order's error, as it stands among the others' answers."""
    return {"code": error.code, "msg": error.msg}
