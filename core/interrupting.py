"""Interrupt the main thread from another one, as Ctrl-C does.

By SIGUSR1: SIGINT is ignored by what a shell starts in the background, and then nothing would be interrupted.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNAL = signal.SIGUSR1


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, `interrupt` has an effect. Entered by another thread than the main one it changes nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(SIGNAL, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(SIGNAL, before or signal.SIG_DFL)


def interrupt() -> None:
    """Raise KeyboardInterrupt in the main thread, if it is interruptible now."""
    main = threading.main_thread().ident
    if main is not None and signal.getsignal(SIGNAL) is signal.default_int_handler:
        signal.pthread_kill(main, SIGNAL)
