"""Ends this process at once, whatever is full or hangs: its supervisor starts it again."""

import faulthandler
import os
import threading
from typing import NoReturn

from infra.logging import get_logger

EXIT_STATUS_HALTED = 3
"""Of a process that only an operator may have started again: its supervisor leaves it down."""

TELL_WITHIN_S = 2.0


def end_process(component: str, sentence: str, *, stacks: bool = False) -> NoReturn:
    """Say why, with where every thread stands if `stacks`, and end with status 1.

    Also if that cannot be written, or does not come back.
    """
    try:
        impatient = threading.Timer(TELL_WITHIN_S, os._exit, (1,))
        impatient.daemon = True
        impatient.start()
        get_logger(component).error("process ends", why=sentence)
        if stacks:
            faulthandler.dump_traceback(all_threads=True)
    finally:
        os._exit(1)
