"""`python -m voicefleet_models stt|tts|llm|token`: see the package's own words."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from voicefleet_api import logs, tokens
from voicefleet_api.endpointing import Endpointing
from voicefleet_models import settings
from voicefleet_models.gateway import Service, run


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m voicefleet_models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in {
        "stt": "speech to text",
        "tts": "text to speech",
        "llm": "language",
        "token": "print a client's token",
    }.items():
        command = commands.add_parser(name, help=words, description=words)
        command.add_argument(
            "--secret-file", type=Path, required=True, help="key that tokens are signed with"
        )
        if name == "token":
            command.add_argument("client", help="client ID")
            continue
        where = command.add_mutually_exclusive_group(required=True)
        where.add_argument("--socket", type=Path, help="where to listen")
        where.add_argument("--port", type=int, help="the same, for who is elsewhere")
        command.add_argument("--host", default="127.0.0.1", help="address of the port")
        command.add_argument("--models", type=Path, help="models.yaml; default: our own models")
        if name == "llm":
            command.add_argument(
                "--cache", type=Path, required=True, help="folder for a model that is fetched"
            )
    return parser.parse_args()


_LANGUAGE_NICENESS = 10


def _service(arguments: argparse.Namespace) -> Service:
    """Imported when it is wanted: each has libraries that the others have no use for."""
    models = settings.read(arguments.models)
    match arguments.command:
        case "stt":
            from voicefleet_models.stt import SpeechToText

            _publish(models.endpointing, arguments.socket)
            return SpeechToText(models.threads.stt)
        case "tts":
            from voicefleet_models.tts import TextToSpeech

            return TextToSpeech(models.voices, models.threads.tts)
    # What a caller hears and says goes before what a model reads and thinks.
    os.nice(_LANGUAGE_NICENESS)
    from voicefleet_models.llm import Language
    from voicefleet_models.upstreams import make_upstream

    upstream = make_upstream(models.language_model, arguments.cache, models.threads.llm)
    return Language(upstream)


def _publish(endpointing: Endpointing | None, socket: Path | None) -> None:
    if socket is not None:
        settings.publish(endpointing, socket.parent)
    elif endpointing is not None:
        raise ValueError("endpointing: agents elsewhere do not see it; it goes with --socket")


def main() -> int:
    """Exit status: 0, 1 where the key or the model is not usable."""
    arguments = _arguments()
    try:
        key = arguments.secret_file.read_text().strip()
        if arguments.command == "token":
            print(tokens.mint(key, arguments.client))
            return 0
        logs.configure(arguments.command)
        where = arguments.socket or (arguments.host, arguments.port)
        asyncio.run(run(_service(arguments), key, where))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
