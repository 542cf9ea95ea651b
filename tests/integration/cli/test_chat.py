"""`voicefleet chat --model`, with a vendor that is played."""

from __future__ import annotations

import pytest

from support.cloud import Vendor
from voicefleet_cli.chat import model_at
from voicefleet_dialogue.acts import ModelUnavailable

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("end", ["/v1", "/v1/", ""])
async def test_a_server_is_asked_at_its_address(end: str) -> None:
    vendor = Vendor()
    try:
        async with model_at(await vendor.start() + end) as model:
            words = [word async for word in model.complete("Facts.", "Do you?", max_tokens=9)]
            assert "".join(words) == "Yes, we do."
            vendor.status = 500
            with pytest.raises(ModelUnavailable, match="500"):
                await anext(model.complete("Facts.", "Do you?", max_tokens=9))
    finally:
        await vendor.stop()
