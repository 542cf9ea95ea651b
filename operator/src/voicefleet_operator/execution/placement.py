"""Carrying out what concerns the agent's unit and the client's name in the zone."""

from __future__ import annotations

from voicefleet_api.fleet import KubernetesConfig, RuntimeConfig
from voicefleet_operator.execution.context import ClientContext
from voicefleet_operator.planning.desired import WantedName, WantedUnit
from voicefleet_operator.planning.observed import AgentUnit, DNSName, UnitSpec, unit_id
from voicefleet_operator.planning.plan import Action, ActionKind


def unit_spec(ctx: ClientContext, wanted: WantedUnit) -> UnitSpec:
    """What the runtime driver is asked to run."""
    runtime = ctx.world.spec.runtime or RuntimeConfig()
    return UnitSpec(
        client_id=ctx.mark.client_id,
        mark=ctx.mark,
        config_json=wanted.config_json,
        memory_mib=wanted.memory_mib,
        secrets=ctx.secrets,
        slot=wanted.slot,
        kubernetes=runtime.kubernetes or KubernetesConfig(),
    )


async def apply_unit(ctx: ClientContext, action: Action) -> None:
    """Start the agent, or start it anew where only a restart makes the change."""
    wanted: WantedUnit = action.args["unit"]
    runtime = ctx.runtime(wanted.class_name)
    spec = unit_spec(ctx, wanted)
    await runtime.driver.apply(spec)
    (await runtime.listing())[spec.unit_id] = AgentUnit(
        client_id=ctx.mark.client_id,
        spec_hash=wanted.spec_hash,
        config_hash=wanted.config_hash,
        running=True,
        registered=False,
        message="The agent is starting",
    )
    # It may have registered before this listing was written; the next reader asks.
    runtime.forget()


async def configure_unit(ctx: ClientContext, action: Action) -> None:
    """Replace the agent's configuration while it runs."""
    wanted: WantedUnit = action.args["unit"]
    runtime = ctx.runtime(wanted.class_name)
    await runtime.driver.configure(unit_id(ctx.mark.client_id, wanted.slot), wanted.config_json)
    runtime.forget()


async def remove_unit(ctx: ClientContext, action: Action) -> None:
    """Stop the agent and remove its network and secrets, and with the last one the volume."""
    runtime = ctx.runtime(action.args["class_name"])
    unit = unit_id(ctx.mark.client_id, action.args["slot"])
    await runtime.driver.remove(unit)
    (await runtime.listing()).pop(unit, None)


def _wanted_name(ctx: ClientContext) -> WantedName:
    if ctx.desired.name is None:
        raise ValueError("no name is wanted")
    return ctx.desired.name


async def _keep(ctx: ClientContext, name: DNSName) -> None:
    (await ctx.names.listing())[name.label] = name


async def create_name(ctx: ClientContext, action: Action) -> None:
    """Add the client's name, unless somebody has it."""
    wanted = _wanted_name(ctx)
    await _keep(
        ctx,
        await ctx.names.driver.create(
            wanted.label, target=wanted.target, ttl=wanted.ttl, mark=ctx.mark
        ),
    )


async def update_name(ctx: ClientContext, action: Action) -> None:
    """Change what the client's name points at."""
    wanted = _wanted_name(ctx)
    await _keep(
        ctx,
        await ctx.names.driver.update(
            wanted.label, target=wanted.target, ttl=wanted.ttl, mark=ctx.mark
        ),
    )


async def delete_name(ctx: ClientContext, action: Action) -> None:
    """Remove a name of the client's."""
    await ctx.names.driver.delete(action.args["label"], mark=ctx.mark)
    (await ctx.names.listing()).pop(action.args["label"], None)


HANDLERS = {
    ActionKind.APPLY_UNIT: apply_unit,
    ActionKind.CONFIGURE_UNIT: configure_unit,
    ActionKind.REMOVE_UNIT: remove_unit,
    ActionKind.CREATE_NAME: create_name,
    ActionKind.UPDATE_NAME: update_name,
    ActionKind.DELETE_NAME: delete_name,
}
