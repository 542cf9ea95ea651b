"""The rules as Pulumi's engine asks for them (https://www.pulumi.com/docs/insights/policy/)."""

from __future__ import annotations

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from voicefleet_policies import exposure, money, secrets, supply, workloads
from voicefleet_policies.rules import Rule, StackRule

RULES = (*workloads.RULES, *exposure.RULES, *secrets.RULES, *money.RULES, *supply.RULES)
STACK_RULES = money.STACK_RULES


def _policy(rule: Rule) -> Policy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        for words in rule.violations(args.resource_type, args.props):
            report(words, None)

    return ResourceValidationPolicy(rule.name, rule.description, validate)


def _stack_policy(rule: StackRule) -> Policy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        resources = [(each.resource_type, each.props) for each in args.resources]
        # Numbers come as protobuf's, which are all floating-point.
        maximum = int(args.get_config().get("maximum", rule.default))
        for words in rule.violations(resources, maximum):
            report(words, None)

    schema = {"maximum": {"type": "integer", "minimum": 0, "default": rule.default}}
    return StackValidationPolicy(
        rule.name, rule.description, validate, config_schema=PolicyConfigSchema(schema)
    )


def policies() -> list[Policy]:
    """All rules."""
    return [*map(_policy, RULES), *map(_stack_policy, STACK_RULES)]


def serve() -> None:
    """Answer the engine until it ends this process; what breaks a rule is refused."""
    PolicyPack("voicefleet", policies(), EnforcementLevel.MANDATORY)
