"""What a relay's two ends are told."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from voicefleet_infra import cluster, edge, services
from voicefleet_infra.platform import Platform
from voicefleet_infra.relay import RelaySettings, private_key, public_key

pytestmark = pytest.mark.unit

SERVER, BOX = private_key(), private_key()
SETTINGS = RelaySettings(
    public_address=IPv4Address("203.0.113.5"),
    carriers=(IPv4Network("54.172.60.0/30"), IPv4Network("168.86.128.0/18")),
    admins=(IPv4Network("198.51.100.7/32"),),
)


@pytest.fixture
def relayed(tmp_path: Path) -> Platform:
    """A platform that carriers reach through the relay."""
    (tmp_path / "relay.json").write_text(SETTINGS.model_dump_json(by_alias=True))
    return Platform(tmp_path)


def scripts(settings: RelaySettings = SETTINGS) -> tuple[str, str]:
    return (
        settings.server_script(SERVER, public_key(BOX)),
        settings.box_script(BOX, public_key(SERVER)),
    )


def test_keys_are_those_of_curve25519() -> None:
    # As `wg pubkey` says.
    assert (
        public_key("dwdtCnMYpX08FsFyUbJmRd9ML5LrwJkqwXf7pR25LCo=")
        == "+KlTWi0v9gXo4UTVT071xiMTogVduyH93T/ZwpnrAV0="
    )
    assert private_key() != private_key()


def test_no_end_is_told_the_others_secret() -> None:
    server, box = scripts()
    assert SERVER in server
    assert SERVER not in box
    assert BOX in box
    assert BOX not in server


def test_files_with_keys_are_for_root_alone() -> None:
    for script in scripts():
        assert script.index("umask 077") < script.index("PrivateKey")


def test_the_box_says_something_before_any_nat_forgets() -> None:
    _, box = scripts()
    # RFC 4787, REQ-5: no NAT for UDP may forget within two minutes; many do within thirty seconds.
    assert 0 < int(re.findall(r"PersistentKeepalive = (\d+)", box)[0]) <= 10


def test_the_box_reaches_the_carrier_and_nothing_else_by_the_tunnel() -> None:
    overlapping = (*SETTINGS.carriers, IPv4Network("54.172.60.0/31"))
    _, box = scripts(SETTINGS.model_copy(update={"carriers": overlapping}))
    assert "AllowedIPs = 54.172.60.0/30, 168.86.128.0/18\n" in box
    server, _ = scripts()
    assert "AllowedIPs = 10.87.0.2/32\n" in server


def test_nobody_has_ssh_unless_named() -> None:
    server, _ = scripts()
    assert "ip saddr { 198.51.100.7/32 } tcp dport 22 accept" in server
    server, _ = scripts(SETTINGS.model_copy(update={"admins": ()}))
    assert "dport 22" not in server


@pytest.mark.parametrize("public", ["54.172.60.2", "168.86.190.1"])
def test_a_relay_among_the_carriers_is_refused(public: str) -> None:
    """The tunnel would lead through itself."""
    with pytest.raises(ValidationError, match="is in a carrier's"):
        RelaySettings(public_address=IPv4Address(public), carriers=SETTINGS.carriers)


def test_carriers_must_be_named() -> None:
    with pytest.raises(ValidationError):
        RelaySettings(public_address=SETTINGS.public_address, carriers=())


def test_all_ports_of_telephony_are_passed_on(tmp_path: Path) -> None:
    platform = Platform(tmp_path)
    bridges = [services.livekit_sip(platform, node) for node in services.SIP_NODES]
    configs = [yaml.safe_load(bridge.inputs[0].read_text()) for bridge in bridges]
    sound = [tuple(map(int, config["rtp_port"].split("-"))) for config in configs]
    signalling = {platform.port("sip-edge")}
    for config in configs:
        signalling |= {config["sip_port"], config["tls"]["port"]}
    for script in scripts():
        [ports] = re.findall(r"th dport \{ (.*?) \}", script)
        assert set(map(int, ports.split(", "))) == signalling
        [(first, last)] = re.findall(r"udp dport (\d+)-(\d+)", script)
        assert (int(first), int(last)) == (sound[0][0], sound[1][1])
        assert sound[0][1] + 1 == sound[1][0]


def test_a_relayed_platform_listens_in_the_tunnel_and_names_the_relay(
    relayed: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "program", lambda name: f"/usr/bin/{name}")
    for node in services.SIP_NODES:
        config = yaml.safe_load(services.livekit_sip(relayed, node).inputs[0].read_text())
        assert (config["listen_ip"], config["nat_1_to_1_ip"]) == ("10.87.0.2", "203.0.113.5")
    *_, door = edge.phone_line(relayed)
    assert f"udp:10.87.0.2:{relayed.port('sip-edge')}" in door.command
    [carriers] = [word for word in door.command if word.startswith("CARRIERS=")]
    assert {"54.172.60.0/30", "168.86.128.0/18"} < set(carriers.split('"')[1].split(","))
    # Bridges take calls from the edge alone.
    telephony = cluster.fleet(relayed)["spec"]["telephony"]
    assert telephony["carrierNetworks"] == ["10.87.0.2/32"]
    assert SETTINGS.origination_uri == f"sip:203.0.113.5:{relayed.port('sip-edge')}"


def test_a_relay_of_another_platform_is_refused(relayed: Platform) -> None:
    other = Platform(relayed.home, base_port=26000)
    with pytest.raises(ValueError, match="base port 16000"):
        services.livekit_sip(other)


def test_settings_hold_no_secret_and_are_read_as_written() -> None:
    text = SETTINGS.model_dump_json(by_alias=True)
    assert RelaySettings.model_validate_json(text) == SETTINGS
    assert json.loads(text)["publicAddress"] == "203.0.113.5"
