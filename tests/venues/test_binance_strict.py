"""What the Binance simulator refuses, byte by byte, and in which words."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from infra.lab.venues import control
from infra.lab.venues.binance.config import ApiKey
from infra.lab.venues.binance.errors import ApiError
from infra.lab.venues.binance.security import verify
from tests.venues.conftest import DOC_KEY, DOC_SECRET, BinanceTrader, Reply, http

REST_PAYLOAD = (
    "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
    "&recvWindow=5000&timestamp=1499827319559"
)
REST_SIGNATURE = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
WS_PAYLOAD = (
    f"apiKey={DOC_KEY}&price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL&symbol=BTCUSDT"
    "&timeInForce=GTC&timestamp=1645423376532&type=LIMIT"
)
WS_SIGNATURE = "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"
FIX_PRIVATE = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIIJEYWtGBrhACmb9Dvy+qa8WEf0lQOl1s4CLIAB9m89u
-----END PRIVATE KEY-----
"""
FIX_PAYLOAD = "A\x01EXAMPLE\x01SPOT\x011\x0120240627-11:17:25.223"
FIX_SIGNATURE = "4MHXelVVcpkdwuLbl6n73HQUXUf1dse2PCgT1DYqW9w8AVZ1RACFGM+5UdlGPrQHrgtS3CvsRURC1oj73j8gCA=="


def refused(reply: Reply, status: int, code: int, text: str = "") -> None:
    assert (reply.status, reply.body["code"]) == (status, code), reply
    assert text in reply.body["msg"]


def fix_key() -> ApiKey:
    private = load_pem_private_key(FIX_PRIVATE.encode(), None)
    assert isinstance(private, Ed25519PrivateKey)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return ApiKey(api_key=DOC_KEY, public_key=public)


VECTORS = [
    pytest.param(ApiKey(api_key=DOC_KEY, secret=DOC_SECRET), REST_PAYLOAD, REST_SIGNATURE, id="rest-hmac"),
    pytest.param(ApiKey(api_key=DOC_KEY, secret=DOC_SECRET), WS_PAYLOAD, WS_SIGNATURE, id="ws-hmac"),
    pytest.param(fix_key(), FIX_PAYLOAD, FIX_SIGNATURE, id="fix-ed25519"),
]


@pytest.mark.parametrize(("key", "payload", "signature"), VECTORS)
def test_published_vectors_hold_and_their_one_bit_corruptions_do_not(
    key: ApiKey, payload: str, signature: str
) -> None:
    verify(key, payload.encode(), signature)
    for index in range(0, len(payload), 5):
        broken = bytearray(payload.encode())
        broken[index] ^= 1
        with pytest.raises(ApiError, match="-1022"):
            verify(key, bytes(broken), signature)
    for index in range(len(signature)):
        other = "A" if signature[index] not in "Aa" else "B"
        with pytest.raises(ApiError, match="-1022"):
            verify(key, payload.encode(), signature[:index] + other + signature[index + 1 :])


def test_hmac_is_not_case_sensitive_ed25519_is() -> None:
    verify(ApiKey(api_key=DOC_KEY, secret=DOC_SECRET), REST_PAYLOAD.encode(), REST_SIGNATURE.upper())
    with pytest.raises(ApiError, match="-1022"):
        verify(fix_key(), FIX_PAYLOAD.encode(), FIX_SIGNATURE.swapcase())


def test_the_documented_request_is_accepted_at_its_time_and_not_with_a_bit_changed(
    documented_binance: control.Running,
) -> None:
    def send(body: str) -> Reply:
        key = {"X-MBX-APIKEY": DOC_KEY}
        return http(documented_binance.address(), "POST", "/api/v3/order", body.encode(), key)

    def at_its_time(body: str) -> Reply:
        documented_binance.admin.set_faults(clock_offset={"ms": 1499827319559 - now_ms()})
        return send(body)

    refused(at_its_time(f"{REST_PAYLOAD}&signature={REST_SIGNATURE[:-1]}0"), 400, -1022)
    refused(at_its_time(f"{REST_PAYLOAD.replace('0.1', '0.2')}&signature={REST_SIGNATURE}"), 400, -1022)
    assert at_its_time(f"{REST_PAYLOAD}&signature={REST_SIGNATURE}").body["status"] == "NEW"
    documented_binance.admin.clear_faults()
    refused(send(f"{REST_PAYLOAD}&signature={REST_SIGNATURE}"), 400, -1021, "outside of the recvWindow")


def now_ms() -> int:
    return int(time.time() * 1000)


class TestTime:
    """The window, exactly as documented, with room for a slow machine on the side that time moves to."""

    @pytest.mark.parametrize("ahead_ms", [1_500, 60_000])
    def test_a_second_ahead_or_more_is_refused(self, trader: BinanceTrader, ahead_ms: int) -> None:
        reply = trader.rest("GET", "/api/v3/account", timestamp=now_ms() + ahead_ms, recvWindow=60_000)
        refused(reply, 400, -1021, "1000ms ahead of the server's time")

    def test_less_than_a_second_ahead_is_accepted(self, trader: BinanceTrader) -> None:
        assert trader.rest("GET", "/api/v3/account", timestamp=now_ms() + 900).status == 200

    @pytest.mark.parametrize(
        ("window", "behind_ms"), [(None, 5_001), (1000, 1_001), ("0.5", 1), (60_000, 60_001)]
    )
    def test_older_than_the_window_is_refused(
        self, trader: BinanceTrader, window: Any, behind_ms: int
    ) -> None:
        reply = trader.rest("GET", "/api/v3/account", timestamp=now_ms() - behind_ms, recvWindow=window)
        refused(reply, 400, -1021, "outside of the recvWindow")

    def test_within_the_window_is_accepted_in_milli_and_microseconds(self, trader: BinanceTrader) -> None:
        assert trader.rest("GET", "/api/v3/account", timestamp=now_ms() - 2_000).status == 200
        assert (
            trader.rest("GET", "/api/v3/account", timestamp=now_ms() * 1000, recvWindow="4999.123").status
            == 200
        )

    def test_a_request_that_waits_too_long_before_matching_is_refused(self, trader: BinanceTrader) -> None:
        trader.simulator.admin.set_faults(delay={"ms": 400})
        refused(trader.order(recvWindow=300), 400, -1021, "outside of the recvWindow")
        assert trader.state("flat")["open"] == 0

    def test_the_window_has_a_largest_value(self, trader: BinanceTrader) -> None:
        refused(
            trader.rest("GET", "/api/v3/account", recvWindow=60_001),
            400,
            -1102,
            "Cannot be greater than 60000",
        )
        refused(trader.rest("GET", "/api/v3/account", recvWindow="5000.1234"), 400, -1100, "recvWindow")

    def test_a_venue_with_a_wrong_clock_says_so(self, trader: BinanceTrader) -> None:
        trader.simulator.admin.set_faults(clock_offset={"ms": 20_000})
        assert (
            abs(http(trader.simulator.address(), "GET", "/api/v3/time").body["serverTime"] - now_ms())
            > 15_000
        )
        refused(trader.order(), 400, -1021)


class TestKeys:
    def test_key_formats(self, trader: BinanceTrader) -> None:
        address = trader.simulator.address()
        refused(
            http(address, "GET", "/api/v3/account?timestamp=1&signature=x"),
            401,
            -2014,
            "API-key format invalid",
        )
        short = {"X-MBX-APIKEY": "abc"}
        refused(http(address, "GET", "/api/v3/account?timestamp=1&signature=x", None, short), 401, -2014)
        unknown = {"X-MBX-APIKEY": "a" * 64}
        refused(http(address, "GET", "/api/v3/account?timestamp=1&signature=x", None, unknown), 401, -2015)

    def test_a_source_address_outside_the_allow_list(self, binance: control.Running) -> None:
        trader = BinanceTrader(binance, key_options={"addresses": ["127.0.0.9/32"]})
        refused(
            trader.rest("GET", "/api/v3/account"),
            401,
            -2015,
            "Invalid API-key, IP, or permissions for action.",
        )
        assert trader.rest("GET", "/api/v3/account", source="127.0.0.9").status == 200

    def test_a_permission_that_the_key_lacks(self, binance: control.Running) -> None:
        trader = BinanceTrader(binance, key_options={"permissions": ["USER_DATA"]})
        assert trader.rest("GET", "/api/v3/account").status == 200
        refused(trader.order(), 401, -2015)

    def test_a_wrong_secret(self, trader: BinanceTrader) -> None:
        trader.secret = trader.secret[::-1]
        refused(trader.rest("GET", "/api/v3/account"), 400, -1022)

    def test_a_revoked_key(self, trader: BinanceTrader) -> None:
        trader.simulator.admin.set_faults(reject_keys={"accounts": [trader.name]})
        refused(trader.order(), 401, -2015)

    def test_what_must_be_there(self, trader: BinanceTrader) -> None:
        refused(trader.rest("GET", "/api/v3/account", timestamp=None), 400, -1102, "'timestamp'")
        target = f"/api/v3/account?timestamp={now_ms()}"
        unsigned = http(trader.simulator.address(), "GET", target, None, {"X-MBX-APIKEY": trader.hmac_key})
        refused(unsigned, 400, -1102, "'signature'")


class TestPayload:
    """Signed is what was sent: query, then body, percent-encoded before signing."""

    def send(self, trader: BinanceTrader, query: str, body: str, signed: str) -> Reply:
        return http(
            trader.simulator.address(),
            "POST",
            f"/api/v3/order/test?{query}",
            f"{body}&signature={trader.sign_hmac(signed)}".encode(),
            {"X-MBX-APIKEY": trader.hmac_key, "Content-Type": "application/x-www-form-urlencoded"},
        )

    def test_query_and_body_are_joined_without_a_separator(self, trader: BinanceTrader) -> None:
        query = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
        body = f"quantity=0.001&price=90000&timestamp={now_ms()}"
        assert self.send(trader, query, body, query + body).body == {}
        refused(self.send(trader, query, body, f"{query}&{body}"), 400, -1022)

    def test_non_ascii_must_be_percent_encoded_before_signing(self, trader: BinanceTrader) -> None:
        symbol, rest = (
            "这是测试币456",
            f"&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=1&timestamp={now_ms()}",
        )
        encoded = f"symbol={quote(symbol)}{rest}"
        refused(
            self.send(trader, "", encoded, encoded), 400, -1121
        )  # well signed: only then is the symbol read
        refused(self.send(trader, "", encoded, f"symbol={symbol}{rest}"), 400, -1022)
        refused(self.send(trader, "", f"symbol={symbol}{rest}", f"symbol={symbol}{rest}"), 400, -1022)

    def test_ed25519_signatures_must_be_percent_encoded(self, trader: BinanceTrader) -> None:
        for nonce in range(60):
            payload = f"timestamp={now_ms()}&recvWindow={5000 + nonce}"
            signature = trader.sign_ed25519(payload)
            if "+" in signature:
                break
        headers, path = {"X-MBX-APIKEY": trader.ed25519_key}, f"/api/v3/account?{payload}&signature="
        address = trader.simulator.address()
        assert http(address, "GET", path + quote(signature, safe=""), None, headers).status == 200
        refused(http(address, "GET", path + signature, None, headers), 400, -1022)

    def test_duplicates(self, trader: BinanceTrader) -> None:
        query = f"symbol=BTCUSDT&symbol=BTCUSDT&timestamp={now_ms()}"
        refused(self.send(trader, query, "", query), 400, -1101, "Duplicate values")

    def test_unknown_parameters(self, trader: BinanceTrader) -> None:
        refused(trader.order(colour="red"), 400, -1104, "Not all sent parameters were read")


FILTERS = [
    ({"price": "90000.001"}, -1013, "PRICE_FILTER"),
    ({"price": "0"}, -1013, "PRICE_FILTER"),
    ({"price": "1000000.01"}, -1013, "PRICE_FILTER"),
    ({"price": "600000"}, -1013, "PERCENT_PRICE_BY_SIDE"),
    ({"price": "19000"}, -1013, "PERCENT_PRICE_BY_SIDE"),
    ({"quantity": "0.000015"}, -1013, "LOT_SIZE"),
    ({"quantity": "0"}, -1013, "LOT_SIZE"),
    ({"quantity": "9001"}, -1013, "LOT_SIZE"),
    ({"quantity": "0.00005"}, -1013, "NOTIONAL"),
    ({"quantity": "0.00000001", "type": "MARKET", "price": None, "timeInForce": None}, -1013, "LOT_SIZE"),
    ({"quantity": "101", "type": "MARKET", "price": None, "timeInForce": None}, -1013, "MARKET_LOT_SIZE"),
    ({"quantity": "0.0010000001"}, -1111, "Parameter 'quantity' has too much precision."),
    ({"price": "90000.123456789"}, -1111, "Parameter 'price' has too much precision."),
    ({"price": "9e4"}, -1100, "'price'"),
    ({"price": "-1"}, -1100, "'price'"),
    ({"price": ""}, -1102, "'price'"),
    ({"price": None}, -1102, "'price'"),
    ({"quantity": None}, -1102, "'quantity'"),
    ({"symbol": None}, -1102, "'symbol'"),
    ({"side": None}, -1102, "'side'"),
    ({"timeInForce": None}, -1102, "'timeInForce'"),
    ({"symbol": "NOPE"}, -1121, "Invalid symbol."),
    ({"symbol": "btcusdt"}, -1100, "'symbol'"),
    ({"side": "HOLD"}, -1117, "Invalid side."),
    ({"type": "MAGIC"}, -1116, "Invalid orderType."),
    ({"timeInForce": "GTX"}, -1115, "Invalid timeInForce."),
    ({"type": "LIMIT_MAKER"}, -1106, "'timeInForce' sent when not required"),
    ({"type": "MARKET", "timeInForce": None}, -1106, "'price' sent when not required"),
    ({"icebergQty": "0.0005"}, -1106, "'icebergQty'"),
    ({"newClientOrderId": "no spaces"}, -1100, "'newClientOrderId'"),
    ({"newClientOrderId": "x" * 37}, -1100, "'newClientOrderId'"),
    ({"quantity": "20"}, -2010, "Account has insufficient balance for requested action."),
    ({"side": "SELL", "price": "110000", "quantity": "11"}, -2010, "insufficient balance"),
    ({"type": "LIMIT_MAKER", "timeInForce": None, "price": "100001"}, -2010, "immediately match and take"),
]


@pytest.mark.parametrize(("changes", "code", "text"), FILTERS)
@pytest.mark.parametrize("path", ["/api/v3/order", "/api/v3/order/test"])
def test_orders_that_break_a_rule(
    trader: BinanceTrader, path: str, changes: dict[str, Any], code: int, text: str
) -> None:
    expected = f"Filter failure: {text}" if code == -1013 else text
    refused(trader.order(path=path, **changes), 400, code, expected)
    assert trader.state("flat")["open"] == 0


def test_the_number_of_open_orders_is_bounded(narrow_binance: control.Running) -> None:
    trader = BinanceTrader(narrow_binance)
    for _ in range(2):
        assert trader.order().status == 200
    refused(trader.order(), 400, -1013, "Filter failure: MAX_NUM_ORDERS")


class TestOrderLife:
    def test_client_ids_are_unique_among_open_orders_only(self, trader: BinanceTrader) -> None:
        assert trader.order(newClientOrderId="same").status == 200
        refused(trader.order(newClientOrderId="same"), 400, -2010, "Duplicate order sent.")
        assert (
            trader.rest("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="same").status == 200
        )
        assert trader.order(newClientOrderId="same").status == 200

    def test_unknown_orders(self, trader: BinanceTrader) -> None:
        unknown = {"symbol": "BTCUSDT", "orderId": 999_999_999}
        refused(trader.rest("DELETE", "/api/v3/order", **unknown), 400, -2011, "Unknown order sent.")
        refused(trader.rest("GET", "/api/v3/order", **unknown), 400, -2013, "Order does not exist.")
        refused(trader.rest("GET", "/api/v3/order", symbol="BTCUSDT"), 400, -1102, "must be sent")
        refused(trader.rest("DELETE", "/api/v3/openOrders", symbol="BTCUSDT"), 400, -2011)

    def test_nobody_sees_or_cancels_the_orders_of_another(self, trader: BinanceTrader) -> None:
        number = trader.order().body["orderId"]
        other = BinanceTrader(trader.simulator)
        refused(other.rest("GET", "/api/v3/order", symbol="BTCUSDT", orderId=number), 400, -2013)
        refused(other.rest("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=number), 400, -2011)
        assert trader.state("flat")["open"] == 1

    def test_a_filled_order_cannot_be_cancelled(self, trader: BinanceTrader) -> None:
        number = trader.order(price="100100").body["orderId"]
        refused(trader.rest("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=number), 400, -2011)
        assert (
            trader.rest("GET", "/api/v3/order", symbol="BTCUSDT", orderId=number).body["status"] == "FILLED"
        )

    def test_immediate_orders_expire_and_give_their_money_back(self, trader: BinanceTrader) -> None:
        assert trader.order(timeInForce="IOC").body["status"] == "EXPIRED"
        assert trader.order(timeInForce="FOK", price="100001", quantity="5").body["status"] == "EXPIRED"
        assert trader.state("balances")["USDT"] == {"free": "1000000.00000000", "locked": "0.00000000"}

    def test_cancel_restrictions(self, trader: BinanceTrader) -> None:
        number = trader.order().body["orderId"]
        cancel = {"symbol": "BTCUSDT", "orderId": number}
        refused(trader.rest("DELETE", "/api/v3/order", cancelRestrictions="NEVER", **cancel), 400, -1145)
        partly = trader.rest("DELETE", "/api/v3/order", cancelRestrictions="ONLY_PARTIALLY_FILLED", **cancel)
        refused(partly, 400, -2011, "cancel restrictions")
        assert trader.rest("DELETE", "/api/v3/order", cancelRestrictions="ONLY_NEW", **cancel).status == 200

    def test_market_orders_by_quantity_and_by_money(self, trader: BinanceTrader) -> None:
        market = {"type": "MARKET", "price": None, "timeInForce": None}
        bought = trader.order(**market, quantity="0.001").body
        assert (bought["status"], bought["cummulativeQuoteQty"]) == ("FILLED", "100.00100000")
        spent = trader.order(**market, quantity=None, quoteOrderQty="500").body
        assert spent["status"] == "FILLED"
        assert 499 < float(spent["cummulativeQuoteQty"]) <= 500

    @pytest.mark.parametrize(("response", "fields"), [("ACK", 5), ("RESULT", 16), ("FULL", 17)])
    def test_response_types(self, trader: BinanceTrader, response: str, fields: int) -> None:
        assert len(trader.order(newOrderRespType=response).body) == fields

    def test_faults_reject_and_hide(self, trader: BinanceTrader) -> None:
        trader.simulator.admin.set_faults(reject_orders={"code": -2010, "message": "Market is closed."})
        refused(trader.order(), 400, -2010, "Market is closed.")
        trader.simulator.admin.clear_faults()
        trader.simulator.admin.set_faults(
            http_status={"status": 503, "paths": ["/api/v3/order"], "after": True}
        )
        refused(trader.order(newClientOrderId="unknown"), 503, -1007, "execution status unknown")
        trader.simulator.admin.clear_faults()
        found = trader.rest("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="unknown").body
        assert found["status"] == "NEW"


class TestRateLimits:
    def test_headers_count(self, trader: BinanceTrader) -> None:
        first, second = trader.order(), trader.order()
        assert second.headers["x-mbx-order-count-10s"] in {"1", "2"}  # 1 if ten seconds ended between them
        assert int(second.headers["x-mbx-order-count-1d"]) == int(first.headers["x-mbx-order-count-1d"]) + 1
        assert int(first.headers["x-mbx-used-weight-1m"]) >= 1
        assert "x-mbx-order-count-1d" not in trader.rest("GET", "/api/v3/account").headers

    def test_filled_orders_do_not_count(self, trader: BinanceTrader) -> None:
        for _ in range(3):
            reply = trader.order(price="100100")
        assert reply.headers["x-mbx-order-count-1d"] == "0"

    def test_too_many_orders(self, narrow_binance: control.Running) -> None:
        trader = BinanceTrader(narrow_binance)
        for _ in range(3):
            assert trader.order().status == 200
            trader.rest("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")
        full = trader.order()
        refused(full, 429, -1015, "Too many new orders; current limit is 3 orders per 1 DAY.")
        assert int(full.headers["retry-after"]) >= 0

    def test_too_much_weight_and_then_a_ban(self, narrow_binance: control.Running) -> None:
        address, source, seen = narrow_binance.address(), "127.0.0.77", []
        for _ in range(60):  # a new minute may begin in between
            seen.append(http(address, "GET", "/api/v3/exchangeInfo", source=source))
            if seen[-1].status == 418:
                break
        assert [reply.status for reply in seen[-5:]] == [200, 429, 429, 429, 418]
        refused(seen[-2], 429, -1003, "Too much request weight used; current limit is 200")
        assert 0 <= int(seen[-2].headers["retry-after"]) <= 60
        refused(seen[-1], 418, -1003, "IP banned until")
        assert 100 < int(seen[-1].headers["retry-after"]) <= 120
        assert http(address, "GET", "/api/v3/ping", source="127.0.0.78").status == 200


class TestPlacesAndPaths:
    def test_a_restricted_address_gets_451(self, trader: BinanceTrader) -> None:
        trader.simulator.admin.set_faults(block_addresses={"addresses": ["127.0.0.66/32"]})
        reply = http(trader.simulator.address(), "GET", "/api/v3/ping", source="127.0.0.66")
        refused(reply, 451, 0, "restricted location")
        assert http(trader.simulator.address(), "GET", "/api/v3/ping").status == 200

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_listen_keys_are_gone(self, trader: BinanceTrader, method: str) -> None:
        headers = {"X-MBX-APIKEY": trader.hmac_key}
        reply = http(trader.simulator.address(), method, "/api/v3/userDataStream", b"", headers)
        assert (reply.status, reply.body["code"]) == (410, -1016)

    def test_unknown_paths_and_methods(self, binance: control.Running) -> None:
        assert http(binance.address(), "GET", "/api/v3/nothing").status == 404
        assert http(binance.address(), "PUT", "/api/v3/order", b"").status == 405

    def test_each_name_serves_its_own(self, narrow_binance: control.Running) -> None:
        for host, status in (("api.lab", 200), ("stream.lab", 404), ("other.lab", 200)):
            reply = http(narrow_binance.address(), "GET", "/api/v3/ping", host=host, source="127.0.0.79")
            assert reply.status == status


def test_time_to_flat_is_read_from_the_venue(trader: BinanceTrader) -> None:
    assert trader.state("flat") == {"open": 0, "open_since": None, "flat_since": None}
    for price in ("90000", "90001"):
        trader.order(price=price)
    opened = trader.state("flat")
    assert opened["open"] == 2
    before = time.monotonic_ns()
    trader.rest("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")
    flat = trader.state("flat")
    assert flat["open"] == 0
    assert opened["open_since"]["mono_ns"] < before <= flat["flat_since"]["mono_ns"] <= time.monotonic_ns()
    assert trader.state("counters") == {"sent": 2, "acked": 2, "filled": 0, "canceled": 2, "rejected": 0}
    events = [event for event in trader.simulator.admin.events() if event["account"] == trader.name]
    assert [event["kind"] for event in events] == ["sent", "new", "sent", "new", "cancel", "cancel"]
    assert events[-1]["mono_ns"] <= flat["flat_since"]["mono_ns"]
