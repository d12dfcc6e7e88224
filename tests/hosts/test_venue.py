"""The venue, as the engine sees it: logged in, and orders come back."""

import pytest

from infra.plan.model import ConnectorPlan

from .conftest import Node

pytestmark = pytest.mark.venue


def test_connector_is_logged_in(node: Node, connector: ConnectorPlan) -> None:
    seen = node.seen["engine"]["venues"][connector.venue]
    assert seen["connection"] == "READY", seen["reason"]


def test_orders_make_the_round_trip(node: Node, connector: ConnectorPlan) -> None:
    """Holds once the host was armed: every order that was sent had its answer within a second."""
    if (
        node.seen["engine"]["state"] == "DISARMED"
        and not node.seen["engine"]["venues"][connector.venue]["sent"]
    ):
        assert node.seen["engine"]["venues"][connector.venue]["open_orders"] == 0
        return
    seen = node.seen["engine"]["venues"][connector.venue]
    assert seen["acked"] > 0
    assert seen["order_rtt_ns"]["count"] > 0
    assert seen["order_rtt_ns"]["p50"] < 1_000_000_000
