"""`voicefleet tune`: measures what this machine can run, and writes what serves callers best."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from livekit import api

from voicefleet_agent import native
from voicefleet_cli import rehearsal
from voicefleet_cli.console import Exit, Output, fail, out, print_json, step, table
from voicefleet_cli.rehearsal import Switch
from voicefleet_cli.tuning import Option, Target, Tuning
from voicefleet_infra import services
from voicefleet_infra.platform import Platform, write_private
from voicefleet_infra.probes import tcp_open
from voicefleet_infra.supervision import StartFailed
from voicefleet_models import settings
from voicefleet_models.settings import LocalFile, Models, ProviderSettings

SHIPPED = Path(str(files(__package__).joinpath("recordings")))


def tune(
    platform: Platform,
    target: Target,
    candidates: Sequence[Path],
    recordings: Path | None,
    output: Output,
    *,
    measure: bool,
    dry_run: bool,
) -> Exit:
    """Measure, say what was found, and write it; exit code 2 where the target is missed."""
    file = platform.path("models.yaml")
    try:
        present = settings.read(file if file.exists() else None)
        others = [_absolute(settings.read(candidate)) for candidate in candidates]
        if calls := asyncio.run(_calls(platform)):
            fail(f"calls are under way ({calls}), which measuring would disturb; try again later")
        with tempfile.TemporaryDirectory(prefix="voicefleet-tune-") as work:
            switch = Switch()
            with step("Preparing the recorded callers"):
                turns = rehearsal.load_turns(recordings or SHIPPED, Path(work), switch)
            tuning = Tuning(turns, switch, target, only=measure)
            loads = [os.getloadavg()[0]]
            found = asyncio.run(_run(tuning, present, others))
            loads.append(os.getloadavg()[0])
    except (OSError, ValueError, StartFailed) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("stopped; nothing was written")
    finally:
        native.let_go()
    changed = found.to_yaml() != present.to_yaml()
    if changed and not dry_run:
        if file.exists():
            write_private(file.with_suffix(".yaml~"), file.read_text())
        write_private(file, yaml.safe_dump(found.to_yaml(), sort_keys=False))
    met = (tuning.chosen[-1].at(target.percentile) or 0.0) <= target.ms
    if output is Output.JSON:
        print_json(_report(tuning, target, found, loads, met=met, written=changed and not dry_run))
    else:
        _show(tuning, target, loads, met=met)
        if changed:
            out.print(
                "\n" + yaml.safe_dump(found.to_yaml(), sort_keys=False).rstrip(), markup=False
            )
            done = "would be written to" if dry_run else "written to"
            out.print(f"\n{done} {file}; voicefleet up makes the platform go by it", soft_wrap=True)
        elif not measure:
            out.print("\nthe present configuration is the best; nothing was written")
    return Exit.OK if met else Exit.MISSED


async def _run(tuning: Tuning, present: Models, others: Sequence[Models]) -> Models:
    """Ended from outside as by Ctrl-C, no gateway stays behind either."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
    return await tuning.run(present, others)


def _absolute(models: Models) -> Models:
    """Files are named from where the candidate was given, and read from elsewhere."""
    wanted = models.language_model
    if isinstance(wanted, LocalFile):
        wanted = LocalFile(path=wanted.path.absolute())
    elif isinstance(wanted, ProviderSettings) and wanted.key_file:
        wanted = wanted.model_copy(update={"key_file": wanted.key_file.absolute()})
    return models.model_copy(update={"language_model": wanted})


async def _calls(platform: Platform) -> int:
    """Calls under way: LiveKit's rooms with somebody in them. Raises ValueError."""
    port, known = platform.port("livekit"), platform.path("secrets", "livekit-secret")
    # Whatever listens there is not ours where the platform was never up.
    if not known.exists() or not tcp_open(port):
        return 0
    key, secret = services.livekit_keys(platform)
    try:
        async with api.LiveKitAPI(f"http://127.0.0.1:{port}", key, secret) as livekit:
            rooms = (await livekit.room.list_rooms(api.ListRoomsRequest())).rooms
    except (api.TwirpError, aiohttp.ClientError) as error:
        raise ValueError(f"LiveKit does not say whether calls are under way: {error}") from None
    return sum(room.num_participants > 0 for room in rooms)


def _report(
    tuning: Tuning,
    target: Target,
    found: Models,
    loads: Sequence[float],
    *,
    met: bool,
    written: bool,
) -> dict[str, Any]:
    """For programs; `null` milliseconds: too many turns without an answer."""

    def finite(value: float | None) -> float | None:
        return round(value, 1) if value is not None and math.isfinite(value) else None

    return {
        "target": {"ms": target.ms, "percentile": target.percentile, "met": met},
        "options": [
            {
                "stage": option.stage,
                "configuration": option.name,
                "p50Ms": finite(option.at(50)),
                "p95Ms": finite(option.at(95)),
                "right": option.right,
                "cutOffs": option.cut_offs,
                "tokensPerSecond": option.rate,
                "chosen": option in tuning.chosen,
            }
            for option in tuning.options
        ],
        "load": {"before": loads[0], "after": loads[1]},
        "models": found.to_yaml(),
        "written": written,
    }


def _show(tuning: Tuning, target: Target, loads: Sequence[float], *, met: bool) -> None:
    rows = table("Stage", "Configuration", "p50 ms", "p95 ms", "Right", "Cut off", "Tokens/s", "")
    present = {option.stage: option for option in reversed(tuning.options)}
    for option in tuning.options:
        # Of the many ways to end a turn, the present and the chosen one.
        if option.cut_offs is None or option in (present[option.stage], *tuning.chosen):
            rows.add_row(
                option.stage,
                option.name,
                _milliseconds(option.at(50)),
                _milliseconds(option.at(95)),
                _percent(option.right),
                _percent(option.cut_offs),
                "-" if option.rate is None else f"{option.rate:.0f}",
                "chosen" if option in tuning.chosen else "",
            )
    out.print(rows)
    cores = os.cpu_count() or 1
    out.print(
        f"\nLoad average of {cores} cores: {loads[0]:.1f} before, {loads[1]:.1f} after"
        + (": the machine is busy, and everything seems slower than it is" * (loads[0] > cores)),
        soft_wrap=True,
    )
    waited = tuning.chosen[-1].at(target.percentile)
    out.print(
        f"Answered by program ({len(tuning.program)} turns): {_milliseconds(waited)} ms at"
        f" percentile {target.percentile:g}, the line's {1000 * rehearsal.LINE:.0f} ms included;"
        f" the target of {target.ms:g} ms is {'met' if met else 'missed'}.",
        soft_wrap=True,
    )
    if tuning.model:
        waits = [one.wait for one in tuning.model if not one.cut_off]
        asked = Option("", "", tuning.chosen[-1].models, waits)
        out.print(
            f"By the language model ({len(tuning.model)} open questions, no part of the target):"
            f' {_milliseconds(asked.at(50))} ms at the median, after "One moment, please."',
            soft_wrap=True,
        )


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if math.isfinite(value) else "no answer"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
