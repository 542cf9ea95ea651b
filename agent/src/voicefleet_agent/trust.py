"""Whose certificates TLS believes: the public ones, and the fleet's own (the agent gateway's).

Imports nothing that speaks TLS: aiohttp reads the certificates once, when it is imported.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path

from voicefleet_api.names import CA_FILE


def extend() -> None:
    """Believe the fleet's own certificates beside the public ones; raises OSError."""
    own = Path(os.environ.get("VOICEFLEET_SECRETS", "/secrets")) / CA_FILE
    if not own.is_file():
        return
    public = ssl.get_default_verify_paths().cafile
    texts = [Path(public).read_text()] if public else []
    with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as both:
        both.write("\n".join([*texts, own.read_text()]))
    os.environ["SSL_CERT_FILE"] = both.name
