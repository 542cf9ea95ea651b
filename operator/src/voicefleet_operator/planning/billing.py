"""Planning of billing: one customer and one subscription a client (pure)."""

from __future__ import annotations

from voicefleet_api.meta import ConditionType
from voicefleet_operator.planning.desired import Desired, WantedBilling
from voicefleet_operator.planning.observed import Observed, Subscription
from voicefleet_operator.planning.plan import ActionKind, PlanBuilder

_POWER = ConditionType.BILLING_READY


def plan_billing(
    builder: PlanBuilder, wanted: WantedBilling, observed: Observed
) -> tuple[str | None, bool]:
    """Plan customer and subscription.

    Returns the id of the step that the rest must follow, and whether the gate of
    `billing.activation` is open: nothing is bought for a client behind a closed gate.
    """
    if wanted.price_id is None:
        builder.wait(_POWER, "PriceNotReady", f"The fleet has no price for {wanted.plan} yet")
        return None, observed.activated
    customer_step = _customer(builder, wanted, observed)
    step = _subscription(builder, wanted, observed, customer_step)
    if observed.activated:
        return step, True
    sub, checkout = observed.subscription, observed.checkout
    if wanted.activation == "Immediately":
        return step, step is not None or checkout is not None or bool(sub and sub.live)
    if sub is not None and sub.live:
        if not sub.paid:
            builder.wait(
                _POWER, "AwaitingPayment", "The first invoice is not paid; nothing is bought yet"
            )
        return step, sub.paid
    return step, False


def _customer(builder: PlanBuilder, wanted: WantedBilling, observed: Observed) -> str | None:
    customer = observed.customer
    if customer is None:
        if wanted.existing_customer_id:
            return builder.add(
                ActionKind.ADOPT_CUSTOMER,
                _POWER,
                wanted.existing_customer_id,
                "spec.billing.existing.customerID names it",
            )
        return builder.add(
            ActionKind.CREATE_CUSTOMER, _POWER, wanted.customer_name, "not in Stripe yet"
        )
    adopted = wanted.existing_customer_id is not None
    if not adopted and (customer.name, customer.email) != (wanted.customer_name, wanted.email):
        return builder.add(
            ActionKind.UPDATE_CUSTOMER,
            _POWER,
            wanted.customer_name,
            "name or e-mail changed",
            customer_id=customer.id,
        )
    return None


def _subscription(
    builder: PlanBuilder, wanted: WantedBilling, observed: Observed, customer_step: str | None
) -> str | None:
    sub = observed.subscription
    target = f"{wanted.plan} at {wanted.price_minor / 100:.2f} {wanted.currency} a month"
    replaced = sub is not None and wanted.existing_subscription_id not in (None, sub.id)
    if sub is not None and sub.status == "canceled" and not wanted.renew and not replaced:
        # Charging somebody who left is worse than a client without a bill.
        builder.wait(
            _POWER,
            "SubscriptionCancelled",
            f"Subscription {sub.id} was cancelled in Stripe and is not renewed by itself; set"
            " spec.drift.paid to Repair, or name another one in"
            " spec.billing.existing.subscriptionID",
            stalled=True,
        )
        return None
    if sub is not None and sub.live:
        if sub.price_id == wanted.price_id or (
            # Taken over at the plan's price: another id of the same amount is no reason to prorate.
            sub.id == wanted.existing_subscription_id
            and sub.price == (wanted.price_minor, wanted.currency)
        ):
            return None
        return builder.add(
            ActionKind.CHANGE_PRICE,
            _POWER,
            target,
            "the plan or its price changed",
            revenue_minor=wanted.price_minor - sub.price_minor,
            subscription_id=sub.id,
            item_id=sub.item_id,
        )
    if wanted.existing_subscription_id and (sub is None or replaced):
        return builder.add(
            ActionKind.ADOPT_SUBSCRIPTION,
            _POWER,
            wanted.existing_subscription_id,
            "spec.billing.existing.subscriptionID names it",
            after=(customer_step,),
        )
    if wanted.collection == "Checkout":
        return _checkout(builder, wanted, observed, customer_step, target)
    return builder.add(
        ActionKind.CREATE_SUBSCRIPTION,
        _POWER,
        target,
        "not subscribed yet",
        after=(customer_step,),
        revenue_minor=wanted.price_minor,
    )


def _checkout(
    builder: PlanBuilder,
    wanted: WantedBilling,
    observed: Observed,
    customer_step: str | None,
    target: str,
) -> str | None:
    session = observed.checkout
    expire = None
    if session is not None and session.price_id == wanted.price_id:
        builder.wait(
            _POWER, "AwaitingPayment", f"The client has not paid yet; send it {session.url}"
        )
        return None
    if session is not None:
        expire = builder.add(
            ActionKind.EXPIRE_CHECKOUT,
            _POWER,
            session.id,
            "it is for another plan",
            session_id=session.id,
        )
    return builder.add(
        ActionKind.CREATE_CHECKOUT,
        _POWER,
        target,
        "the client is to pay by a link",
        after=(customer_step, expire),
        revenue_minor=wanted.price_minor,
    )


def plan_no_billing(
    builder: PlanBuilder, desired: Desired, observed: Observed, after: tuple[str, ...]
) -> tuple[str, ...]:
    """Plan the end of billing; the customer stays in Stripe, for its invoices' sake."""
    steps: tuple[str, ...] = ()
    if observed.checkout is not None:
        steps += (
            builder.add(
                ActionKind.EXPIRE_CHECKOUT,
                _POWER,
                observed.checkout.id,
                "the client is no longer billed",
                after=after,
                session_id=observed.checkout.id,
            ),
        )
    sub = observed.subscription
    if sub is not None and desired.rollback:
        return steps + _undo_subscription(builder, desired, sub, after)
    if (
        sub is not None
        and sub.live
        and not (desired.on_delete == "AtPeriodEnd" and sub.cancel_at_period_end)
    ):
        steps += (
            builder.add(
                ActionKind.CANCEL_SUBSCRIPTION,
                _POWER,
                sub.id,
                "the client is no longer billed",
                after=after,
                revenue_minor=-sub.price_minor,
                reversible=desired.on_delete == "AtPeriodEnd",
                subscription_id=sub.id,
                when=desired.on_delete,
            ),
        )
    return steps or after


def _undo_subscription(
    builder: PlanBuilder, desired: Desired, sub: Subscription, after: tuple[str, ...]
) -> tuple[str, ...]:
    """Money first: once the subscription has ended nothing would lead to its invoice any more.

    One that was taken over goes back as it was.
    """
    invoice, reason = sub.invoice, "onboarding is taken back"
    if sub.live and sub.id != desired.adopted_subscription_id:
        if invoice is not None and invoice.status == "open":
            after = (builder.add(ActionKind.VOID_INVOICE, _POWER, invoice.id, reason, after=after),)
        elif invoice is not None and invoice.refundable_minor > 0:
            after = (
                builder.add(
                    ActionKind.REFUND_INVOICE,
                    _POWER,
                    invoice.id,
                    reason,
                    after=after,
                    reversible=False,
                    amount_minor=invoice.refundable_minor,
                ),
            )
        after = (
            builder.add(
                ActionKind.CANCEL_SUBSCRIPTION,
                _POWER,
                sub.id,
                reason,
                after=after,
                reversible=False,
                subscription_id=sub.id,
                when="Undone",
            ),
        )
    return (builder.add(ActionKind.FORGET_SUBSCRIPTION, _POWER, sub.id, reason, after=after),)
