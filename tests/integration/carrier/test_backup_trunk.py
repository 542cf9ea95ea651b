"""A number's trunk has two ways in; the first is lost with the whole network that it stands in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.carrier.exchange import NO_REPLY_SECONDS, Url, exchange
from support.sip_lab import SipLab
from voicefleet_infra.tools import binary

pytestmark = pytest.mark.integration

NUMBER = "+14152201000"
"""The first that the sandbox sells."""


class TwoWays(SipLab):
    """Two edges of ours behind a carrier; each host has a cable of its own."""

    def _prepare(self) -> None:
        self.line = exchange(self._lab, self._platform.folder("carrier"))
        self._carrier, self._doors = self.line.carrier, [self.door, self._lab.host("edge2")]

    def urls(self) -> list[Url]:
        """As the controller sets them: in the order of the Fleet's originationURIs."""
        port = self._platform.port("sip-edge")
        return [Url(door, 10 * place, port=port) for place, door in enumerate(self._doors, 1)]


@pytest.fixture(scope="module")
def lab(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoWays]:
    if not binary("livekit-sip").exists():
        pytest.skip("livekit-sip is not built: make provision")
    with TwoWays(tmp_path_factory.mktemp("lab"), answered=NUMBER) as lab:
        yield lab


def test_the_second_way_in_takes_the_next_call(lab: TwoWays) -> None:
    assert lab.line.number(*lab.urls()) == NUMBER
    first = lab.line.call(NUMBER)
    assert first.answered, first
    assert first.answered_after is not None
    assert first.answered_after < NO_REPLY_SECONDS
    lost = (lab.door, lab.bridges[0])
    for host in lost:
        host.cable.pull()
    try:
        call = lab.line.call(NUMBER)
    finally:
        for host in lost:
            host.cable.plug()
    assert call.answered, call
    assert call.answered_after is not None
    # The carrier's wait for the first edge; the second has left the first bridge by then.
    assert NO_REPLY_SECONDS * 0.9 < call.answered_after < NO_REPLY_SECONDS + 2
