"""The Binance connector against the Binance simulator: log on, quote, trade, cancel, and each refusal and fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Start = Callable[..., Any]


@pytest.mark.parametrize(("key", "key_type"), [("E" * 64, "ed25519"), ("H" * 64, "hmac")])
def test_trades_with_either_kind_of_key(venue: Any, connect: Start, key: str, key_type: str) -> None:
    driver = connect(venue, key=key, key_type=key_type)
    driver.ready()
    quote = driver.wait(event="quote")
    assert float(quote["bid"]) < float(quote["ask"])

    assert driver.submit(1, "buy", "90000") == 0
    driver.wait(event="ack", id=1)
    driver.say("cancel 1")
    assert driver.wait(event="cancel", id=1)["left"] == "0.001"

    assert driver.submit(2, "buy", "110000") == 0
    driver.wait(event="ack", id=2)
    fills = [driver.wait(event="fill", id=2, final=True)]
    assert fills[0]["quantity"] == "0.001"
    assert float(quote["ask"]) * 0.9 < float(fills[0]["price"]) < float(quote["ask"]) * 1.1
    assert driver.some(event="reject") == []
    assert len(driver.some(event="ack", id=2)) == 1
    assert len(driver.some(event="fill", id=2)) == 1
