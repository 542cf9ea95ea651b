"""What servers run to get k3s and a firewall, read by the programs that read it there."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from voicefleet_infra.components.cloud import k3s

pytestmark = pytest.mark.integration
ACCESS = k3s.Access(["203.0.113.0/24", "2001:db8::/64"], ["54.172.60.0/30"], ["168.86.128.0/18"])
FIREWALL = k3s.firewall(ACCESS, ["198.51.100.20", "2001:db8:1::1"])


@pytest.mark.parametrize("first", [None, "198.51.100.20"])
def test_a_shell_understands_the_script_and_its_removal(first: str | None) -> None:
    node = k3s.Node("198.51.100.21", "t0ken", first, FIREWALL)
    for text in (k3s.script(node), k3s.removal(first is None)):
        done = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_nftables_takes_the_firewall_twice() -> None:
    nft = shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin")
    if nft is None:
        pytest.skip("nftables is not installed")
    # In a network namespace of its own: nothing of this machine's is touched.
    words = ["unshare", "--net", nft, "-f", "-"]
    done = subprocess.run(words, input=FIREWALL * 2, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
