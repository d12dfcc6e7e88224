"""What the Polymarket simulator refuses, and in which words."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st
from py_clob_client_v2.order_utils.exchange_order_builder_v2 import ExchangeOrderBuilderV2
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderV2
from py_clob_client_v2.signer import Signer

from infra.lab.venues import control
from infra.lab.venues.common.book import Side
from infra.lab.venues.polymarket import eip712
from infra.lab.venues.polymarket.auth import signature_l2
from infra.lab.venues.polymarket.errors import ClobError
from infra.lab.venues.polymarket.orders import PostedOrder
from tests.venues.conftest import YES, Reply, Wallet, http

ANVIL = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
ZERO = "0x" + "0" * 64
VECTOR_ORDER = {
    "salt": 479249096354,
    "maker": ANVIL,
    "signer": ANVIL,
    "tokenId": 1234,
    "makerAmount": 100_000_000,
    "takerAmount": 50_000_000,
    "side": 0,
    "signatureType": 0,
    "timestamp": 1780449126930,
    "metadata": bytes(32),
    "builder": bytes(32),
}
VECTORS = [
    pytest.param(
        eip712.login_digest(80002, ANVIL, "10000000", 23),
        None,
        "0xf62319a987514da40e57e2f4d7529f7bac38f0355bd88bb5adbb3768d80de6c1682518e0af677d5260366425f4361e7b70c25ae232"
        "aff0ab2331e2b164a1aedc1b",
        id="login-amoy",
    ),
    pytest.param(
        eip712.order_digest(137, VECTOR_ORDER, neg_risk=False),
        "0xf69f17dcabb49e64a79a669ea5336cd3ce518c083c821664f295c62e39baedec",
        "0x745070770d383e6f4e6431858070edacbea294ed0e2b16f147127edafc51b59a6e788aaeda02cce5989ee10cc983a4045313e1ec70"
        "75c5a5b84f6212b097d36a1b",
        id="order-polygon",
    ),
    pytest.param(
        eip712.order_digest(80002, VECTOR_ORDER, neg_risk=False),
        "0xf4b817f06f351bdc415e904135e806faee2d88050b2fab12370717143dc923b8",
        "0xa96be879ff1c5b94c1f7bbb4e253e2283748c1261f8b21390979d31ee6a164656132219cf49fd86574380b4f5f11232945497b29ff"
        "bc74d4bf9a0623c17af0071b",
        id="order-amoy",
    ),
]


@pytest.mark.parametrize(("message", "digest", "signature"), VECTORS)
def test_vectors_hold_and_their_one_bit_corruptions_do_not(
    message: Any, digest: str | None, signature: str
) -> None:
    assert eip712.signer(message, signature) == ANVIL.lower()
    if digest is not None:
        assert "0x" + message.hex() == digest
    raw = bytearray.fromhex(signature[2:])
    for bit in range(0, len(raw) * 8, 29):
        broken = bytearray(raw)
        broken[bit // 8] ^= 1 << (bit % 8)
        try:
            assert eip712.signer(message, "0x" + broken.hex()) != ANVIL.lower()
        except eip712.SignatureError:
            continue


def test_a_signature_has_one_form_only() -> None:
    digest, signature = VECTORS[1].values[0], bytes.fromhex(VECTORS[1].values[2][2:])
    order = 2 * eip712.HALF_ORDER + 1
    twin = signature[:32] + (order - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    twin += bytes([27 + 28 - signature[64]])
    with pytest.raises(eip712.SignatureError, match="large s"):
        eip712.signer(digest, "0x" + twin.hex())


@given(
    st.fixed_dictionaries(
        {
            "salt": st.integers(0, 2**256 - 1),
            "maker": st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex()),
            "tokenId": st.integers(0, 2**256 - 1),
            "makerAmount": st.integers(0, 2**256 - 1),
            "side": st.integers(0, 1),
            "metadata": st.binary(min_size=32, max_size=32),
        }
    ),
    st.booleans(),
)
def test_digests_are_those_of_an_independent_library(changes: dict[str, Any], neg_risk: bool) -> None:
    fields = VECTOR_ORDER | changes
    builder = ExchangeOrderBuilderV2(eip712.EXCHANGES[neg_risk], 137, Signer("0x" + "11" * 32, 137))
    text = {name: "0x" + value.hex() for name, value in fields.items() if isinstance(value, bytes)}
    typed = builder.build_order_typed_data(OrderV2(**(fields | text)))
    assert "0x" + eip712.order_digest(137, fields, neg_risk=neg_risk).hex() == builder.build_order_hash(typed)


def test_a_changed_field_changes_the_signer() -> None:
    signature = VECTORS[1].values[2]
    for name, value in (("makerAmount", 100_000_001), ("side", 1), ("tokenId", 1235), ("salt", 479249096355)):
        message = eip712.order_digest(137, VECTOR_ORDER | {name: value}, neg_risk=False)
        assert eip712.signer(message, signature) != ANVIL.lower()


def test_the_published_hmac_vector_and_its_corruptions() -> None:
    secret, expected = "A" * 43 + "=", "ZwAdJKvoYRlEKDkNMwd5BuwNNtg93kNaR_oU2HrfVvc="
    body = b'{"hash": "0x123"}'
    assert signature_l2(secret, "1000000", "test-sign", "/orders", body) == expected
    for changed in (
        signature_l2(secret, "1000001", "test-sign", "/orders", body),
        signature_l2(secret, "1000000", "test-sign", "/order", body),
        signature_l2(secret, "1000000", "test-sign", "/orders", body.replace(b"3", b"2")),
        signature_l2("B" + secret[1:], "1000000", "test-sign", "/orders", body),
    ):
        assert changed != expected


def refused(reply: Reply, status: int, text: str) -> None:
    assert reply.status == status, reply
    assert text in reply.body["error"]


def order(wallet: Wallet, document: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Return the body of POST /order: a bid of 10 shares at 0.40, changed, then signed."""
    fields: dict[str, Any] = {
        "salt": time.time_ns() % 10**15,
        "maker": wallet.address,
        "signer": wallet.address,
        "tokenId": YES,
        "makerAmount": "4000000",
        "takerAmount": "10000000",
        "side": "BUY",
        "expiration": "0",
        "signatureType": 0,
        "timestamp": str(int(time.time() * 1000)),
        "metadata": ZERO,
        "builder": ZERO,
    } | changes
    message = eip712.order_digest(
        137,
        {
            **{
                name: int(fields[name])
                for name in ("salt", "tokenId", "makerAmount", "takerAmount", "timestamp")
            },
            "maker": fields["maker"],
            "signer": fields["signer"],
            "side": int(fields["side"] == "SELL"),
            "signatureType": fields["signatureType"],
            "metadata": bytes(32),
            "builder": bytes(32),
        },
        neg_risk=False,
    )
    signed = Account.unsafe_sign_hash(message, wallet.private_key)
    fields["signature"] = "0x" + signed.signature.hex().removeprefix("0x")
    whole = {
        "order": fields,
        "owner": wallet.api_key,
        "orderType": "GTC",
        "deferExec": False,
        "postOnly": False,
    }
    return whole | (document or {})


def post(wallet: Wallet, document: dict[str, Any]) -> Reply:
    return wallet.send("POST", "/order", document)


AMOUNTS = [
    ({"makerAmount": "4050000"}, {}, "Price (0.405) breaks minimum tick size rule: 0.01"),
    ({"makerAmount": "10000000"}, {}, "breaks minimum tick size rule"),
    ({"makerAmount": "1600000", "takerAmount": "4000000"}, {}, "Size (4) lower than the minimum: 5"),
    ({"takerAmount": "10001000", "makerAmount": "4000400"}, {}, "invalid amounts"),
    ({"makerAmount": "4000001"}, {}, "invalid amounts"),
    ({"makerAmount": "0"}, {}, "Invalid order payload"),
    ({"takerAmount": "0"}, {}, "Invalid order payload"),
    ({"makerAmount": "400000000000", "takerAmount": "1000000000000"}, {}, "not enough balance / allowance"),
    (
        {"side": "SELL", "makerAmount": "200000000000", "takerAmount": "120000000000"},
        {},
        "not enough balance",
    ),
    (
        {"makerAmount": "5255100", "takerAmount": "9010000"},
        {"orderType": "FAK"},
        "market buy orders maker amount",
    ),
    ({}, {"orderType": "FAK"}, "no orders found to match with FAK order"),
    (
        {"makerAmount": "60000000000", "takerAmount": "100000000000"},
        {"orderType": "FOK"},
        "FOK orders are fully",
    ),
    ({"makerAmount": "6000000"}, {"postOnly": True}, "invalid post-only order: order crosses book"),
    ({"makerAmount": "6000000"}, {"postOnly": True, "orderType": "FOK"}, "Invalid order payload"),
    ({}, {"orderType": "GTX"}, "Invalid order payload"),
    ({"expiration": "99"}, {}, "invalid expiration"),
    ({}, {"owner": "somebody"}, "the order owner has to be the owner of the API KEY"),
    ({"signer": ANVIL}, {}, "the order signer address has to be the address of the API KEY"),
    ({"maker": ANVIL}, {}, "maker address not allowed"),
    ({"signatureType": 3}, {}, "signature type 3 (POLY_1271) is not simulated"),
]


@pytest.mark.parametrize(("changes", "document", "text"), AMOUNTS)
def test_orders_that_break_a_rule(
    wallet: Wallet, changes: dict[str, Any], document: dict[str, Any], text: str
) -> None:
    refused(post(wallet, order(wallet, document, **changes)), 400, text)
    assert wallet.state("flat")["open"] == 0
    assert wallet.state("counters")["rejected"] == 1


def test_the_same_order_without_a_broken_rule_is_taken_once(wallet: Wallet) -> None:
    document = order(wallet)
    assert post(wallet, document).body["status"] == "live"
    refused(post(wallet, document), 400, "Duplicated.")


def test_every_bit_of_a_signature_counts(wallet: Wallet) -> None:
    document = order(wallet)
    raw = bytearray.fromhex(document["order"]["signature"][2:])
    for bit in (0, 100, 255, 256, 400, 511, 513):
        broken = bytearray(raw)
        broken[bit // 8] ^= 1 << (bit % 8)
        changed = document | {"order": document["order"] | {"signature": "0x" + broken.hex()}}
        refused(post(wallet, changed), 400, "invalid signature")
    for name, value in (("makerAmount", "4100000"), ("salt", 1), ("timestamp", "1")):
        changed = document | {"order": document["order"] | {name: value}}
        refused(post(wallet, changed), 400, "invalid signature")


@pytest.mark.parametrize(
    "broken",
    [
        {},
        [],
        {"order": []},
        {"order": {"timestamp": "1"}},
        {"order": {"timestamp": "1"}, "orderType": "GTC"},
    ],
)
def test_payloads_that_are_none(wallet: Wallet, broken: Any) -> None:
    refused(wallet.send("POST", "/order", broken), 400, "Invalid order payload")


@pytest.mark.parametrize("name", ["salt", "maker", "makerAmount", "signature", "metadata", "side"])
@pytest.mark.parametrize("value", [None, "zz", -1, 1.5, [], {}])
def test_fields_of_the_wrong_form(wallet: Wallet, name: str, value: Any) -> None:
    document = order(wallet)
    document["order"][name] = value
    refused(post(wallet, document), 400, "Invalid order payload")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
field_names = st.sampled_from(["order", "orderType", "owner", "timestamp", "salt", "side", "signature", "x"])


@settings(max_examples=60)
@given(st.dictionaries(field_names, json_values | st.dictionaries(field_names, json_values)))
def test_reading_an_order_refuses_and_never_breaks(document: dict[str, Any]) -> None:
    with pytest.raises(ClobError):
        PostedOrder.read(document)


def test_price_and_size_of_both_sides() -> None:
    common = {
        "salt": 1,
        "maker": ANVIL,
        "signer": ANVIL,
        "tokenId": "5",
        "expiration": "0",
        "signatureType": 0,
    }
    common |= {"timestamp": "1", "metadata": ZERO, "builder": ZERO, "signature": "0x00"}
    for side, maker, taker in (("BUY", "5000000", "10000000"), ("SELL", "10000000", "5000000")):
        fields = common | {"side": side, "makerAmount": maker, "takerAmount": taker}
        posted = PostedOrder.read({"order": fields, "owner": "k", "orderType": "GTC"})
        assert (posted.side, posted.price, posted.size) == (Side(side), Decimal("0.5"), 10_000_000)


class TestAuthentication:
    def test_every_header_counts(self, wallet: Wallet) -> None:
        assert wallet.send("GET", "/data/orders").status == 200
        for changes in (
            {"POLY_API_KEY": "nobody"},
            {"POLY_PASSPHRASE": "guess"},
            {"POLY_ADDRESS": ANVIL},
            {"POLY_SIGNATURE": "A" * 43 + "="},
            {"POLY_TIMESTAMP": str(int(time.time()) - 1)},
        ):
            refused(wallet.send("GET", "/data/orders", changes=changes), 401, "Unauthorized/Invalid api key")

    def test_the_query_is_not_signed_the_body_is(self, wallet: Wallet) -> None:
        assert wallet.send("GET", "/data/orders?market=0x1&next_cursor=MA==").status == 200
        headers = wallet.headers("DELETE", "/order", b'{"orderID":"0x1"}')
        reply = http(wallet.simulator.address(), "DELETE", "/order", b'{"orderID": "0x1"}', headers)
        refused(reply, 401, "Unauthorized")

    @pytest.mark.parametrize("offset_s", [-30, 30])
    def test_a_wrong_clock(self, wallet: Wallet, offset_s: int) -> None:
        refused(wallet.send("GET", "/data/orders", offset_s=offset_s), 401, "Unauthorized/Invalid api key")

    def test_login(self, wallet: Wallet) -> None:
        now = str(int(time.time()))

        def login(timestamp: str = now, nonce: str = "9", **changes: str) -> Reply:
            signed = Account.unsafe_sign_hash(
                eip712.login_digest(137, wallet.address, timestamp, int(nonce)), wallet.private_key
            )
            headers = {
                "POLY_ADDRESS": wallet.address,
                "POLY_SIGNATURE": "0x" + signed.signature.hex().removeprefix("0x"),
                "POLY_TIMESTAMP": timestamp,
                "POLY_NONCE": nonce,
            }
            return http(wallet.simulator.address(), "POST", "/auth/api-key", b"", headers | changes)

        for reply in (
            login(POLY_ADDRESS=ANVIL),
            login(POLY_NONCE="10"),
            login(POLY_SIGNATURE="0x00"),
            login(POLY_TIMESTAMP=str(int(now) + 1)),
            login(timestamp=str(int(now) - 100)),
            http(wallet.simulator.address(), "POST", "/auth/api-key", b""),
        ):
            refused(reply, 401, "Invalid L1 Request headers")
        assert set(login().body) == {"apiKey", "secret", "passphrase"}

    def test_a_key_that_stopped_working(self, wallet: Wallet) -> None:
        wallet.simulator.admin.set_faults(reject_keys={"accounts": [wallet.name]})
        refused(post(wallet, order(wallet)), 401, "Unauthorized/Invalid api key")

    def test_nobody_cancels_the_orders_of_another(self, wallet: Wallet) -> None:
        order_id = post(wallet, order(wallet)).body["orderID"]
        other = Wallet(wallet.simulator)
        assert other.send("DELETE", "/order", {"orderID": order_id}).body["canceled"] == []
        refused(other.send("GET", f"/data/order/{order_id}"), 404, "not found")
        assert other.send("DELETE", "/cancel-all").body["canceled"] == []
        assert wallet.state("flat")["open"] == 1


class TestPlaces:
    def test_geoblock_tells_where_one_is(self, polymarket: control.Running) -> None:
        for source, blocked, country in (
            ("127.0.0.1", False, "IE"),
            ("127.0.7.1", True, "GB"),
            ("127.0.8.1", True, "IR"),
        ):
            reply = http(polymarket.address(), "GET", "/api/geoblock", source=source).body
            assert (reply["blocked"], reply["ip"], reply["country"]) == (blocked, source, country)

    def test_close_only_takes_cancels_but_no_orders(self, wallet: Wallet) -> None:
        assert post(wallet, order(wallet)).status == 200
        refused(
            wallet.send("POST", "/order", order(wallet), source="127.0.7.1"),
            403,
            "Trading restricted in your region",
        )
        refused(
            wallet.send("POST", "/orders", [order(wallet)], source="127.0.7.1"), 403, "Trading restricted"
        )
        assert len(wallet.send("DELETE", "/cancel-all", source="127.0.7.1").body["canceled"]) == 1

    def test_blocked_means_nothing_private(self, wallet: Wallet) -> None:
        refused(
            wallet.send("DELETE", "/cancel-all", source="127.0.8.1"), 403, "Trading restricted in your region"
        )
        assert (
            http(wallet.simulator.address(), "GET", f"/book?token_id={YES}", source="127.0.8.1").status == 200
        )

    def test_a_place_may_become_blocked(self, wallet: Wallet) -> None:
        wallet.simulator.admin.set_faults(block_addresses={"addresses": ["127.0.0.1/32"], "country": "DE"})
        refused(post(wallet, order(wallet)), 403, "Trading restricted")
        assert http(wallet.simulator.address(), "GET", "/api/geoblock").body["country"] == "DE"


class TestModes:
    @pytest.mark.parametrize(
        ("fault", "parameters", "status", "text", "cancels"),
        [
            ("restart", {"retry_after": 90}, 425, "restarting", 425),
            ("disabled", {}, 503, "Trading is currently disabled", 503),
            ("cancel_only", {}, 503, "cancel-only", 200),
            ("too_many_requests", {"retry_after": 3}, 429, "Too Many Requests", 429),
            ("post_only_mode", {}, 425, "post-only", 200),
            ("http_status", {"status": 500}, 500, "internal server error", 500),
        ],
    )
    def test_of_the_venue(
        self, wallet: Wallet, fault: str, parameters: dict[str, Any], status: int, text: str, cancels: int
    ) -> None:
        wallet.simulator.admin.set_faults(**{fault: parameters})
        reply = post(wallet, order(wallet))
        refused(reply, status, text)
        if "retry_after" in parameters:
            assert reply.headers["retry-after"] == str(parameters["retry_after"])
        assert wallet.send("DELETE", "/cancel-all").status == cancels

    def test_post_only_mode_takes_post_only_orders(self, wallet: Wallet) -> None:
        wallet.simulator.admin.set_faults(post_only_mode={"retry_after_seconds": 120})
        assert post(wallet, order(wallet)).body["code"] == "post_only_mode"
        assert post(wallet, order(wallet, {"postOnly": True})).body["status"] == "live"

    def test_an_answer_may_be_lost_after_the_order_was_taken(self, wallet: Wallet) -> None:
        wallet.simulator.admin.set_faults(http_status={"status": 502, "paths": ["/order"], "after": True})
        assert post(wallet, order(wallet)).status == 502
        assert wallet.state("flat")["open"] == 1

    def test_the_token_bucket_runs_dry_and_tells_when_to_return(
        self, hasty_polymarket: control.Running
    ) -> None:
        wallet = Wallet(hasty_polymarket)
        left = [post(wallet, order(wallet)).headers["poly-ratelimit-remaining"] for _ in range(3)]
        assert left == ["2", "1", "0"]
        reply = post(wallet, order(wallet))
        refused(reply, 429, "Too Many Requests")
        assert int(reply.headers["retry-after"]) > 10
        assert len(wallet.send("DELETE", "/cancel-all").body["canceled"]) == 3


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/book?token_id=3", 404, "No orderbook exists for the requested token id"),
        ("GET", "/book", 400, "Invalid token id"),
        ("GET", "/book?token_id=0xff", 400, "Invalid token id"),
        ("GET", f"/price?token_id={YES}&side=HOLD", 400, "Invalid side"),
        ("GET", "/tick-size?token_id=3", 404, "market not found"),
        ("GET", "/markets/0x00", 404, "market not found"),
        ("GET", "/nothing", 404, "Not Found"),
        ("POST", "/books", 400, "Invalid payload"),
    ],
)
def test_public_refusals(polymarket: control.Running, method: str, path: str, status: int, text: str) -> None:
    refused(http(polymarket.address(), method, path, b"{}" if method == "POST" else None), status, text)


@pytest.mark.parametrize(
    ("method", "path", "document", "text"),
    [
        ("DELETE", "/order", {"orderID": "12"}, "Invalid orderID"),
        ("DELETE", "/order", {"id": "0x1"}, "Invalid order payload"),
        ("DELETE", "/orders", {}, "Invalid order payload"),
        ("DELETE", "/orders", ["0x1"] * 1001, "Too many orders in payload, max allowed: 1000"),
        ("DELETE", "/cancel-market-orders", {"token": "1"}, "Invalid order payload"),
        ("POST", "/orders", [], "Invalid order payload"),
        ("POST", "/v1/heartbeats", {"heartbeat_id": 5}, "Invalid order payload"),
        ("GET", "/balance-allowance", None, "Invalid asset type"),
    ],
)
def test_private_refusals(wallet: Wallet, method: str, path: str, document: Any, text: str) -> None:
    refused(wallet.send(method, path, document), 400, text)
