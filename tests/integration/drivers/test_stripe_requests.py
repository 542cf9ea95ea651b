"""What the driver sends is what Stripe's own OpenAPI file allows: checked by stripe-mock.

stripe-mock (https://github.com/stripe/stripe-mock) keeps nothing: it answers each request with an
example, and refuses parameters that Stripe does not know.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest
import stripe

from integration.drivers.harness import FLEET, program, running
from support.ports import free_port
from voicefleet_api.fleet import Plan
from voicefleet_operator.drivers.errors import Rejected
from voicefleet_operator.drivers.stripe import StripeDriver
from voicefleet_operator.planning.observed import Mark

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stripe_mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a stripe-mock."""
    binary, port = program("stripe-mock"), free_port()
    argv = [binary, "-http-addr", f"127.0.0.1:{port}"]
    with running(argv, port, tmp_path_factory.mktemp("stripe-mock") / "log"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
async def driver(stripe_mock: str) -> AsyncIterator[StripeDriver]:
    """The driver; stripe-mock has its API at the root, the sandbox below /stripe."""
    made = StripeDriver("sk_test_123", base_url="http://unused", fleet_id=FLEET)
    made._client = stripe.StripeClient(
        "sk_test_123", http_client=made._http, base_addresses={"api": stripe_mock}
    )
    yield made
    await made.close()


async def test_every_request_is_known(driver: StripeDriver, mark: Mark) -> None:
    now = datetime.now(UTC)
    await driver.inventory()
    await driver.find_customers(mark, now)
    await driver.find_subscriptions(mark, now)
    price = await driver.ensure_price(Plan(name="Pro", monthly_price_minor=49900))
    customer = await driver.create_customer("op-1", mark=mark, name="A", email="a@a.example")
    await driver.update_customer(customer.id, name="B", email=None)
    await driver.mark_customer(customer.id, mark)
    for number, (collection, days) in enumerate((("Invoice", 0), ("Card", 14))):
        made = await driver.create_subscription(
            f"op-sub-{number}",
            mark=mark,
            customer_id=customer.id,
            price_id=price,
            collection="Card" if collection == "Card" else "Invoice",
            trial_days=days,
        )
    await driver.mark_subscription(made.id, mark)
    await driver.change_price(subscription_id=made.id, item_id=made.item_id, price_id=price)
    await driver.cancel_subscription(made.id, when="AtPeriodEnd")
    await driver.cancel_subscription(made.id, when="Now")
    session = await driver.create_checkout(
        "op-checkout",
        mark=mark,
        customer_id=customer.id,
        price_id=price,
        trial_days=14,
        success_url="https://bright-smile.fleet.test/",
    )
    await driver.get_checkout(session.id)
    await driver.expire_checkout(session.id)


async def test_unknown_parameters_are_refused(driver: StripeDriver) -> None:
    """Else the test above would say nothing."""
    with pytest.raises(Rejected, match="additional properties"):
        await driver._update("sub_1", {"nonsense": "1"})
