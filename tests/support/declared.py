"""What a Pulumi program declares, without engine, plugins or cloud (`pulumi.runtime` mocks)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc, set_all_config, set_mocks


@dataclass(frozen=True)
class Resource:
    """One registration."""

    type: str
    name: str
    inputs: dict[str, Any]
    """As the provider gets them, secrets unwrapped."""
    secret: frozenset[str]
    """Inputs that are, or hold, a secret."""
    after: frozenset[str]
    """URNs of what must be there first; of what is removed last."""
    urn: str


class Declared(list[Resource]):
    """All of a stack's resources in the order of their registration, and its outputs."""

    outputs: dict[str, Any]
    secret_outputs: set[str]

    def one(self, type_: str, name: str) -> Resource:
        """The resource of a type that ends so."""
        (found,) = [each for each in self if each.name == name and each.type.endswith(type_)]
        return found

    def of(self, type_: str) -> list[Resource]:
        """All of a type that ends so."""
        return [each for each in self if each.type.endswith(type_)]


class _Mocks(mocks.Mocks):
    """Everything comes to be as it was asked for, with what a provider would add."""

    def __init__(self, outputs: Mapping[str, Callable[[str], dict[str, Any]]]) -> None:
        self._outputs = outputs

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        made = self._outputs.get(args.typ)
        inputs = {name: plain(value) for name, value in args.inputs.items()}
        return f"{args.name}-id", {**inputs, **(made(args.name) if made else {})}

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"the program asks {args.token}")


def plain(value: Any) -> Any:
    """Without the marks of secrets."""
    if rpc.is_rpc_secret(value):
        value = rpc.unwrap_rpc_secret(value)
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value


def declare(
    program: Callable[[], None],
    config: Mapping[str, str],
    *,
    secrets: Iterable[str] = (),
    outputs: Mapping[str, Callable[[str], dict[str, Any]]] | None = None,
) -> Declared:
    """Run a program. `config` has full names; `outputs` says by type what a provider adds."""
    found = Declared()
    register = mocks.MockMonitor.RegisterResource

    def recorded(monitor: mocks.MockMonitor, request: Any) -> Any:
        answer = register(monitor, request)
        if request.type != "pulumi:pulumi:Stack":
            inputs = rpc.deserialize_properties(request.object)
            secret = frozenset(name for name, each in inputs.items() if rpc.is_rpc_secret(each))
            found.append(
                Resource(
                    request.type,
                    request.name,
                    {name: plain(each) for name, each in inputs.items()},
                    secret,
                    frozenset(request.dependencies),
                    answer.urn,
                )
            )
        return answer

    # The mocks are told neither dependencies nor what is secret.
    mocks.MockMonitor.RegisterResource = recorded  # type: ignore[method-assign]
    try:
        set_mocks(_Mocks(outputs or {}), project="voicefleet", stack="test", preview=False)
        set_all_config(dict(config), list(secrets))
        exported = _run(program)
    finally:
        mocks.MockMonitor.RegisterResource = register  # type: ignore[method-assign]
        set_all_config({})
    found.outputs = {name: value for name, (value, _) in exported.items()}
    found.secret_outputs = {name for name, (_, secret) in exported.items() if secret}
    return found


def _run(program: Callable[[], None]) -> dict[str, tuple[Any, bool]]:
    """Its outputs: value, and whether it is a secret."""
    exported: dict[str, pulumi.Output[Any]] = {}
    seen: dict[str, tuple[Any, bool]] = {}
    export = pulumi.export

    def run() -> pulumi.Output[None]:
        pulumi.export = lambda name, value: exported.update({name: pulumi.Output.from_input(value)})
        try:
            program()
        finally:
            pulumi.export = export
        return pulumi.Output.from_input(_all())

    async def _all() -> None:
        for name, output in exported.items():
            seen[name] = (await output.future(), await output.is_secret())

    mocks.test(run)()
    return seen
