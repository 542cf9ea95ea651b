"""The relay's component: what it declares, with Pulumi's engine stood in for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pulumi.runtime import mocks, rpc
from pulumi_command.remote import ConnectionArgs

from voicefleet_infra.components.relay import Relay, RelayArgs, _KeyProvider
from voicefleet_infra.relay import RelaySettings, public_key

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
