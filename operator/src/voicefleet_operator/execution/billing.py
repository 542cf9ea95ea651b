"""Carrying out billing actions in Stripe."""

from __future__ import annotations

from datetime import datetime

from voicefleet_api.meta import Operation
from voicefleet_api.voiceclient import BillingStatus
from voicefleet_operator.drivers.errors import Rejected
from voicefleet_operator.execution.context import ClientContext
from voicefleet_operator.planning.desired import WantedBilling
from voicefleet_operator.planning.observed import CheckoutSession, Customer, Invoice, Subscription
from voicefleet_operator.planning.plan import Action, ActionKind


def _wanted(ctx: ClientContext) -> WantedBilling:
    if ctx.desired.billing is None:
        raise ValueError("billing is not wanted")
    return ctx.desired.billing


def _since(operation: Operation) -> datetime:
    return datetime.fromisoformat(operation.started_at)


async def _customer_id(ctx: ClientContext) -> str:
    """The client's customer; there is one, since the action follows the one that makes it."""
    customers = (await ctx.billing.listing()).customers
    for customer in customers.by(ctx.mark.owner):
        return customer.id
    existing = customers.get(_wanted(ctx).existing_customer_id or "")
    if existing is not None:
        return existing.id
    raise LookupError("the client has no customer in Stripe")


def _remember(ctx: ClientContext, **made: str | None) -> None:
    """Into the write that drops the operation: no version of the status knows of neither.

    A controller with an older listing can so tell that it is one.
    """
    billing = ctx.writer.status.billing or BillingStatus()
    ctx.writer.status.billing = billing.model_copy(update=made)


async def create_customer(ctx: ClientContext, action: Action) -> None:
    """Create the customer, once."""
    driver, wanted = ctx.billing.driver, _wanted(ctx)

    async def find(op: Operation) -> Customer | None:
        return next(iter(await driver.find_customers(ctx.mark, _since(op))), None)

    async def do(op: Operation) -> Customer:
        return await driver.create_customer(
            op.id, mark=ctx.mark, name=op.request["name"], email=op.request.get("email")
        )

    request = {"name": wanted.customer_name} | ({"email": wanted.email} if wanted.email else {})
    customer = await ctx.journal.once(action.kind, action.target, request, find=find, do=do)
    _remember(ctx, customer_id=customer.id)
    (await ctx.billing.listing()).customers[customer.id] = customer


async def adopt_customer(ctx: ClientContext, action: Action) -> None:
    """Put our mark on an existing customer."""
    customer = await ctx.billing.driver.mark_customer(action.target, ctx.mark)
    (await ctx.billing.listing()).customers[customer.id] = customer


async def update_customer(ctx: ClientContext, action: Action) -> None:
    """Change name and e-mail."""
    wanted = _wanted(ctx)
    customer = await ctx.billing.driver.update_customer(
        action.args["customer_id"], name=wanted.customer_name, email=wanted.email
    )
    (await ctx.billing.listing()).customers[customer.id] = customer


async def create_subscription(ctx: ClientContext, action: Action) -> None:
    """Subscribe the customer, once; a declined card leaves nothing behind."""
    driver, wanted = ctx.billing.driver, _wanted(ctx)

    async def find(op: Operation) -> Subscription | None:
        found = await driver.find_subscriptions(ctx.mark, _since(op))
        return next(iter(found), None)

    async def do(op: Operation) -> Subscription:
        return await driver.create_subscription(
            op.id,
            mark=ctx.mark,
            customer_id=op.request["customer"],
            price_id=op.request["price"],
            collection="Card" if op.request["collection"] == "Card" else "Invoice",
            trial_days=int(op.request["trialDays"]),
        )

    request = {
        "customer": await _customer_id(ctx),
        "price": wanted.price_id or "",
        "collection": wanted.collection,
        "trialDays": str(wanted.trial_days),
    }
    subscription = await ctx.journal.once(action.kind, action.target, request, find=find, do=do)
    _remember(ctx, subscription_id=subscription.id)
    (await ctx.billing.listing()).subscriptions[subscription.id] = subscription


async def adopt_subscription(ctx: ClientContext, action: Action) -> None:
    """Put our mark on an existing subscription; what the customer pays does not change by that."""
    _check(await ctx.billing.driver.get_subscription(action.target), _wanted(ctx))
    subscription = await ctx.billing.driver.mark_subscription(action.target, ctx.mark)
    (await ctx.billing.listing()).subscriptions[subscription.id] = subscription


def _check(found: Subscription, wanted: WantedBilling) -> None:
    """Raises `Rejected` where taking it over would charge somebody else, or something else."""
    if found.customer_id != wanted.existing_customer_id:
        raise Rejected(
            "CustomerDiffers",
            f"subscription {found.id} is of customer {found.customer_id}",
            hint="Name that customer in spec.billing.existing.customerID",
        )
    if found.price != (wanted.price_minor, wanted.currency):
        raise Rejected(
            "PriceDiffers",
            f"subscription {found.id} is charged {found.price_words}, but plan {wanted.plan} costs"
            f" {wanted.price_minor / 100:.2f} {wanted.currency} a month",
            hint="Choose the plan of that price in spec.plan, or add one to the Fleet; once it is"
            " taken over, another plan can be chosen",
        )


async def create_checkout(ctx: ClientContext, action: Action) -> None:
    """Make a link that the client pays by, once."""
    driver, wanted = ctx.billing.driver, _wanted(ctx)

    async def find(op: Operation) -> CheckoutSession | None:
        # An unpaid session costs nothing and expires: repeating the frozen request settles it.
        return None

    async def do(op: Operation) -> CheckoutSession:
        return await driver.create_checkout(
            op.id,
            mark=ctx.mark,
            customer_id=op.request["customer"],
            price_id=op.request["price"],
            trial_days=int(op.request["trialDays"]),
            success_url=op.request["successURL"],
        )

    dns, label = ctx.world.spec.dns, ctx.spec.dns
    request = {
        "customer": await _customer_id(ctx),
        "price": wanted.price_id or "",
        "trialDays": str(wanted.trial_days),
        # Stripe wants somewhere to send the payer afterwards.
        "successURL": f"https://{label.subdomain}.{dns.zone}/"
        if dns and label
        else "https://voicefleet.dev/paid",
    }
    session = await ctx.journal.once(action.kind, action.target, request, find=find, do=do)
    _remember(ctx, checkout_url=session.url)
    (await ctx.billing.listing()).checkouts[session.id] = session


async def expire_checkout(ctx: ClientContext, action: Action) -> None:
    """Make an unpaid link void; where it was paid meanwhile, there is now a subscription."""
    driver, listing = ctx.billing.driver, await ctx.billing.listing()
    session = await driver.expire_checkout(action.args["session_id"])
    if session.subscription_id is not None:
        subscription = await driver.get_subscription(session.subscription_id)
        listing.subscriptions[subscription.id] = subscription
    listing.checkouts.pop(session.id, None)


async def change_price(ctx: ClientContext, action: Action) -> None:
    """Move the subscription to the plan's price, with proration.

    Setting a price is idempotent by itself; no intent needs to be recorded. But a replaced leader
    must not set the price of an older spec.
    """
    await ctx.writer.confirm()
    price = _wanted(ctx).price_id or ""
    subscription_id = action.args["subscription_id"]
    subscription = await ctx.billing.driver.change_price(
        subscription_id=subscription_id, item_id=action.args["item_id"], price_id=price
    )
    (await ctx.billing.listing()).subscriptions[subscription.id] = subscription


async def cancel_subscription(ctx: ClientContext, action: Action) -> None:
    """End the subscription now or at the end of what is paid; never by an older spec."""
    await ctx.writer.confirm()
    subscription = await ctx.billing.driver.cancel_subscription(
        action.args["subscription_id"], when=action.args["when"]
    )
    (await ctx.billing.listing()).subscriptions[subscription.id] = subscription


async def void_invoice(ctx: ClientContext, action: Action) -> None:
    """Make an unpaid invoice void; done already, it is no longer open and not planned again."""
    await ctx.billing.driver.void_invoice(action.target)
    ctx.billing.forget()


async def refund_invoice(ctx: ClientContext, action: Action) -> None:
    """Pay back what was paid, once."""
    driver = ctx.billing.driver

    async def find(op: Operation) -> Invoice | None:
        invoice = await driver.get_invoice(op.target)
        return invoice if invoice.refundable_minor == 0 else None

    async def do(op: Operation) -> Invoice:
        amount = int(op.request["amount"])
        await driver.refund_invoice(op.id, invoice_id=op.target, amount_minor=amount)
        return await driver.get_invoice(op.target)

    request = {"amount": str(action.args["amount_minor"])}
    await ctx.journal.once(action.kind, action.target, request, find=find, do=do)
    ctx.billing.forget()


async def forget_subscription(ctx: ClientContext, action: Action) -> None:
    """Take our mark off a subscription that is the client's no more."""
    await ctx.billing.driver.forget_subscription(action.target)
    (await ctx.billing.listing()).subscriptions.pop(action.target, None)


HANDLERS = {
    ActionKind.CREATE_CUSTOMER: create_customer,
    ActionKind.ADOPT_CUSTOMER: adopt_customer,
    ActionKind.UPDATE_CUSTOMER: update_customer,
    ActionKind.CREATE_SUBSCRIPTION: create_subscription,
    ActionKind.ADOPT_SUBSCRIPTION: adopt_subscription,
    ActionKind.CREATE_CHECKOUT: create_checkout,
    ActionKind.EXPIRE_CHECKOUT: expire_checkout,
    ActionKind.CHANGE_PRICE: change_price,
    ActionKind.CANCEL_SUBSCRIPTION: cancel_subscription,
    ActionKind.VOID_INVOICE: void_invoice,
    ActionKind.REFUND_INVOICE: refund_invoice,
    ActionKind.FORGET_SUBSCRIPTION: forget_subscription,
}
