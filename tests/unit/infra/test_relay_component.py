"""The relay's component: what it declares, with Pulumi's engine stood in for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks, rpc
from pulumi_command.remote import ConnectionArgs

import homelab
from support.declared import Declared, declare
from voicefleet_infra.components.relay import (
    BoxNotSetUp,
    Relay,
    RelayArgs,
    _BoxProvider,
    _KeyProvider,
)
from voicefleet_infra.platform import Platform
from voicefleet_infra.relay import RelaySettings, known_relay, public_key

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("thread_event_loop")]

CARRIERS = ["54.172.60.0/30", "168.86.128.0/18"]
KEY = "pulumi-python:dynamic:Resource"


class Engine(mocks.Mocks):
    """Makes keys as the provider does, and remembers what was declared."""

    def __init__(self) -> None:
        self.declared: dict[str, mocks.MockResourceArgs] = {}
        self.outputs: dict[str, Any] = {}
        self.secret: set[str] = set()

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        self.declared[args.name] = args
        if args.typ == KEY:
            made = _KeyProvider().create({})
            return made.id, dict(made.outs or {})
        return f"{args.name}-id", args.inputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], None]:
        raise NotImplementedError

    def run(self, args: RelayArgs) -> None:
        """Declare a relay to the end."""
        mocks.set_mocks(self, preview=False)

        async def look(made: Relay) -> None:
            for name in ("settings", "origination_uri", "server_script", "box_script"):
                output = getattr(made, name)
                self.outputs[name] = await output.future()
                if await output.is_secret():
                    self.secret.add(name)

        mocks.test(lambda: look(Relay("relay", args)))()


def relay(connection: ConnectionArgs | None = None) -> Engine:
    engine = Engine()
    engine.run(
        RelayArgs("203.0.113.5", CARRIERS, admins=["198.51.100.7/32"], connection=connection)
    )
    return engine


def test_both_scripts_are_secret_and_fit_one_another() -> None:
    made = relay()
    assert made.secret == {"server_script", "box_script"}
    server, box = (_keys(made.outputs[name]) for name in ("server_script", "box_script"))
    assert server["PublicKey"] == public_key(box["PrivateKey"])
    assert box["PublicKey"] == public_key(server["PrivateKey"])


def test_the_platform_is_told_who_the_carrier_is() -> None:
    outputs = relay().outputs
    settings = RelaySettings.model_validate_json(outputs["settings"])
    assert [str(network) for network in settings.carriers] == CARRIERS
    assert outputs["origination_uri"] == settings.origination_uri


def test_a_server_that_is_there_is_set_up_by_ssh_without_a_key_on_its_command_line() -> None:
    made = relay(ConnectionArgs(host="203.0.113.5", user="debian"))
    script = made.outputs["server_script"]
    command = made.declared["relay-install"]
    assert command.typ == "command:remote:Command"
    assert rpc.is_rpc_secret(command.inputs["stdin"])
    assert rpc.unwrap_rpc_secret(command.inputs["stdin"]) == script
    shown = json.dumps({k: v for k, v in command.inputs.items() if k != "stdin"})
    assert _keys(script)["PrivateKey"] not in shown
    assert "wg-quick@voicefleet" in command.inputs["delete"]


def test_without_a_connection_no_server_is_touched() -> None:
    kinds = {args.typ for args in relay().declared.values()}
    assert kinds - {"pulumi:pulumi:Stack"} == {"voicefleet:index:Relay", KEY}


def test_who_comes_by_ssh_is_not_locked_out() -> None:
    connection = ConnectionArgs(host="203.0.113.5")
    with pytest.raises(ValueError, match="lock them out"):
        Engine().run(RelayArgs("203.0.113.5", CARRIERS, connection=connection))


def _keys(script: str) -> dict[str, str]:
    lines = (line.partition(" = ") for line in script.splitlines())
    return {name: value for name, _, value in lines if name.endswith("Key")}


def in_the_lab(platform: Platform, **changes: Any) -> Declared:
    """What the home lab's stack declares for its setting `relay`."""
    given = {"publicAddress": "203.0.113.5", "carriers": CARRIERS, "admins": ["198.51.100.7/32"]}
    config = {"voicefleet:relay": json.dumps(given | changes), "voicefleet:sshPrivateKey": "key"}

    def key(_: str) -> dict[str, Any]:
        return dict(_KeyProvider().create({}).outs or {})

    return declare(
        lambda: homelab._tunnel(pulumi.Config(), platform),
        config,
        secrets=["voicefleet:sshPrivateKey"],
        outputs={KEY: key},
    )


def test_the_home_lab_listens_in_the_tunnel_which_stands_first(tmp_path: Path) -> None:
    platform = Platform(tmp_path, base_port=26000)
    declared = in_the_lab(platform, user="debian")
    settings = known_relay(platform)
    assert settings is not None
    assert str(settings.public_address) == "203.0.113.5"
    box, install = declared.one(KEY, "box"), declared.one("Command", "relay-install")
    assert "wg-quick@voicefleet" in box.inputs["script"]
    assert "script" in box.secret
    assert any("relay" in urn for urn in box.after)
    assert install.inputs["connection"]["user"] == "debian"
    assert "connection" in install.secret


def test_a_lab_without_the_setting_forgets_the_relay(tmp_path: Path) -> None:
    platform = Platform(tmp_path)
    in_the_lab(platform)
    assert declare(lambda: homelab._tunnel(pulumi.Config(), platform), {}) == []
    assert known_relay(platform) is None


def test_a_setting_that_is_none_of_the_relays_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="carrierz"):
        in_the_lab(Platform(tmp_path), carrierz=[])


def test_the_box_is_set_up_changed_and_taken_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    file, provider = tmp_path / "set up", _BoxProvider()
    props = {"script": f"echo one >'{file}'", "removal": f"rm '{file}'"}
    provider.create(props)
    assert file.read_text() == "one\n"
    other = props | {"script": f"echo two >'{file}'"}
    assert not provider.diff("box", props, dict(props)).changes
    assert provider.diff("box", props, other).changes
    provider.update("box", props, other)
    assert file.read_text() == "two\n"
    provider.delete("box", other)
    assert not file.exists()
    with pytest.raises(BoxNotSetUp, match="become root"):
        provider.delete("box", other)
