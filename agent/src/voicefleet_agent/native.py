"""LiveKit's native library, for programs that are not a worker of its own framework."""

from __future__ import annotations

import sys
import time

_SECONDS = 1.0
"""In which its threads end; it does not say when they have."""


def let_go() -> None:
    """Before a program ends. The library writes its log from threads of its own: where the
    interpreter is going already, that aborts the process, and its exit status is lost."""
    module = sys.modules.get("livekit.rtc._ffi_client")
    if module is not None and module.FfiClient._instance is not None:
        module.FfiClient._instance._dispose()
        time.sleep(_SECONDS)
