"""supervisord keeps services running, restarts what changed and leaves the rest alone."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from support.ports import free_platform, free_port
from voicefleet_infra.platform import Platform
from voicefleet_infra.probes import tcp_open
from voicefleet_infra.service import Service
from voicefleet_infra.supervision import StartFailed, Supervisor
from voicefleet_infra.up import Busy, PortTaken, Up, _alone, down

pytestmark = pytest.mark.integration

LISTENER = (
    "import socket, sys, time;"
    "server = socket.create_server(('127.0.0.1', int(sys.argv[1])));"
    "time.sleep(3600)"
)


def until(check: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.05)


@pytest.fixture
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    # A space, as users' folders have; short, as the names of sockets must be (unix(7)).
    home = tmp_path_factory.mktemp("s") / "my state"
    return replace(free_platform(home), runtime="process")


@pytest.fixture
def supervisor(platform: Platform) -> Iterator[Supervisor]:
    made = Supervisor(platform)
    try:
        yield made
    finally:
        made.shutdown()
        made.end_orphans()


def listener(platform: Platform, name: str, *inputs: Path) -> Service:
    """A process that listens on a port of its own."""
    file = platform.folder() / f"{name}.port"
    if not file.exists():
        file.write_text(str(free_port()))
    port = int(file.read_text())
    command = (sys.executable, "-c", LISTENER, str(port), str(platform.home))
    return Service(name, command, f"127.0.0.1:{port}", lambda: tcp_open(port), inputs=inputs)


def pid_of(service: Service) -> int:
    port = int(service.address.rpartition(":")[2])
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status == "LISTEN" and connection.laddr[1] == port:
            return connection.pid or 0  # None: it is ending, its socket is still there
    return 0


def test_what_crashes_is_started_again(platform: Platform, supervisor: Supervisor) -> None:
    service = listener(platform, "one")
    supervisor.apply([service])
    supervisor.start(service)
    before = pid_of(service)
    os.kill(before, signal.SIGKILL)
    until(lambda: pid_of(service) not in (0, before))


def test_only_what_changed_is_restarted(platform: Platform, supervisor: Supervisor) -> None:
    config = platform.folder() / "two.conf"
    config.write_text("a")
    services = [listener(platform, "one"), listener(platform, "two", config)]
    supervisor.apply(services)
    for service in services:
        supervisor.start(service)
    one, two = (pid_of(service) for service in services)

    supervisor.apply(services)
    for service in services:
        supervisor.start(service)
    assert [pid_of(service) for service in services] == [one, two]

    config.write_text("b")
    supervisor.apply(services)
    for service in services:
        supervisor.start(service)
    assert pid_of(services[0]) == one
    assert pid_of(services[1]) not in (0, two)


def test_what_does_not_start_shows_the_end_of_its_log(
    platform: Platform, supervisor: Supervisor
) -> None:
    command = (sys.executable, "-c", "raise SystemExit('no such zone: fleet')")
    service = Service("broken", command, "", lambda: False)
    supervisor.apply([service])
    for _ in range(2):  # the second time it is in the middle of being tried again
        with pytest.raises(StartFailed, match="no such zone: fleet"):
            supervisor.start(service, timeout=3)


def test_what_crashes_at_every_start_is_not_waited_for(
    platform: Platform, supervisor: Supervisor
) -> None:
    service = Service("broken", (sys.executable, "-c", "import nothing"), "", lambda: False)
    supervisor.apply([service])
    begun = time.monotonic()
    with pytest.raises(StartFailed, match="No module named 'nothing'"):
        supervisor.start(service, timeout=120)
    assert time.monotonic() - begun < 60


def test_nothing_is_left_after_down(platform: Platform, supervisor: Supervisor) -> None:
    service = listener(platform, "one")
    supervisor.apply([service])
    supervisor.start(service)
    down(platform)
    assert not pid_of(service)
    assert supervisor.states() == {}
    down(platform)  # and again, on what is down


def test_a_killed_supervisor_leaves_no_orphans(platform: Platform, supervisor: Supervisor) -> None:
    service = listener(platform, "one")
    supervisor.apply([service])
    supervisor.start(service)
    os.kill(int(platform.path("run", "supervisord.pid").read_text()), signal.SIGKILL)
    until(lambda: not supervisor.running())
    assert pid_of(service), "the kill took the service along: what is tested here?"
    supervisor.end_orphans()
    until(lambda: not pid_of(service))
    supervisor.apply([service])
    supervisor.start(service)


def test_somebody_elses_process_is_no_orphan(
    platform: Platform, supervisor: Supervisor, tmp_path: Path
) -> None:
    service = listener(platform, "one")
    supervisor.apply([service])
    supervisor.start(service)
    Supervisor(Platform(tmp_path / "other")).end_orphans()
    assert pid_of(service)


def test_a_taken_port_is_named_with_its_holder(platform: Platform) -> None:
    service = Service("redis", (), "", lambda: True, ports=("redis",))
    up = Up(platform, lambda _: _alone(platform), lambda _: None)
    up._check_ports([service])
    with (
        socket.create_server(("127.0.0.1", platform.port("redis"))),
        pytest.raises(PortTaken) as taken,
    ):
        up._check_ports([service])
    words = str(taken.value)
    assert f"port {platform.port('redis')}, wanted for redis" in words
    assert f"(pid {os.getpid()})" in words


def test_one_at_a_time(platform: Platform) -> None:
    with _alone(platform), pytest.raises(Busy, match="is at work"):
        down(platform)
