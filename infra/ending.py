"""Ends this process at once, whatever is full or hangs: its supervisor starts it again."""

import faulthandler
import os
from typing import NoReturn

from infra.logging import get_logger


def end_process(component: str, sentence: str, *, stacks: bool = False) -> NoReturn:
    """Say why, with where every thread stands if `stacks`, and end with status 1."""
    try:
        get_logger(component).error("process ends", why=sentence)
        if stacks:
            faulthandler.dump_traceback(all_threads=True)
    finally:
        os._exit(1)
