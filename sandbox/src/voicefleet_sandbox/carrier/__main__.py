"""`python -m voicefleet_sandbox.carrier`: becomes kamailio."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from voicefleet_sandbox.carrier import PHONES, VOICE
from voicefleet_sandbox.twilio.sip import REALM

_CONFIG = Path(__file__).with_name("kamailio.cfg")


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="voicefleet_sandbox.carrier",
        description="The SIP edge of the sandbox's carrier: calls to its numbers go where their"
        " trunks say, or ring the phone that hosted instructions name.",
    )
    parser.add_argument("--host", required=True, help="address to listen on, UDP and TLS")
    parser.add_argument("--port", type=int, default=5060, help="port to listen on")
    parser.add_argument("--sandbox", required=True, help="base address of the sandbox")
    for name, words in (
        ("certificate", "file that TLS shows"),
        ("private-key", "file with its key"),
        ("ca", "file with whose certificates are believed"),
    ):
        parser.add_argument(f"--{name}", required=True, help=f"{words}, PEM")
    parser.add_argument(
        "--networks",
        help="who may call, register and be called, as CIDR with commas; only --host if unset",
    )
    parser.add_argument(
        "--no-reply-seconds", type=float, default=4.0,
        help="how long an origination URL may say nothing before the next one is tried",
    )  # fmt: skip
    parser.add_argument(
        "--switch", default="", help="host:port of the switch, for numbers with instructions"
    )
    args = parser.parse_args()
    program = shutil.which("kamailio", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        parser.exit(
            1,
            "kamailio is not installed; run:"
            " apt-get install kamailio-utils-modules kamailio-tls-modules\n",
        )
    given = {
        "SANDBOX": f'"{args.sandbox}"',
        "NETWORKS": f'"{args.networks or args.host}"',
        "PHONES": f'"{PHONES}"',
        "VOICE": f'"{VOICE}"',
        "SWITCH": f'"{args.switch}"',
        "REALM": f'"{REALM}"',
        "CERTIFICATE": f'"{args.certificate}"',
        "PRIVATE_KEY": f'"{args.private_key}"',
        "CA": f'"{args.ca}"',
        "NO_REPLY_MS": f"{1000 * args.no_reply_seconds:.0f}",
    }
    os.execv(  # noqa: S606 - no shell is wanted
        program,
        [
            program, "-DD", "-E", "-m", "64", "-M", "8", "-f", str(_CONFIG),
            *(word for name, value in given.items() for word in ("-A", f"{name}={value}")),
            *("-l", f"udp:{args.host}:{args.port}", "-l", f"tls:{args.host}:{args.port}"),
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
