"""The firewall's text says what the account says."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from infra.lab.rules import HostPolicy, Permission, ruleset

WEB = Permission("tcp", 443, 443, ("0.0.0.0/0",))
ONE = HostPolicy(
    instance="i-1",
    interface="h1",
    address=IPv4Address("10.0.0.1"),
    public=IPv4Address("198.51.100.1"),
    vpc="eu-west-1/vpc-a",
    ingress=(),
    egress=(WEB,),
)
TWO = replace(ONE, instance="i-2", interface="h2", address=IPv4Address("10.0.0.2"), public=None)


def chain(text: str, name: str) -> list[str]:
    _, found, rest = text.partition(f"chain {name} {{\n")
    assert found, f"no chain {name}"
    return [line.strip() for line in rest.partition("  }")[0].splitlines()]


def test_what_no_rule_allows_is_dropped():
    assert chain(ruleset([ONE]), "enter_i_1") == ["counter drop"]
    assert chain(ruleset([ONE]), "leave_i_1")[-1] == "counter drop"
    assert "policy drop;" in chain(ruleset([]), "forward")[0]


@pytest.mark.parametrize(
    ("permission", "line"),
    [
        (WEB, "ip daddr 0.0.0.0/0 tcp dport 443-443 return"),
        (Permission("udp", 100, 200, ("10.0.0.0/8",)), "ip daddr { 10.0.0.0/8 } udp dport 100-200 return"),
        (Permission("tcp", 0, 65535, ("10.1.0.0/16",)), "ip daddr { 10.1.0.0/16 } meta l4proto tcp return"),
        (Permission("-1", -1, -1, ("10.0.0.2",)), "ip daddr { 10.0.0.2 } return"),
        (Permission("icmp", 8, -1, ("10.0.0.2",)), "ip daddr { 10.0.0.2 } icmp type 8 return"),
        (Permission("icmp", -1, -1, ("10.0.0.2",)), "ip daddr { 10.0.0.2 } meta l4proto icmp return"),
        (Permission("47", -1, -1, ("10.0.0.2",)), "ip daddr { 10.0.0.2 } meta l4proto 47 return"),
    ],
)
def test_a_rule_of_each_kind(permission, line):
    assert chain(ruleset([replace(ONE, egress=(permission,))]), "leave_i_1") == [line, "counter drop"]


def test_a_rule_about_an_empty_group_allows_nothing():
    nobody = Permission("tcp", 22, 22, ())
    assert chain(ruleset([replace(ONE, ingress=(nobody,))]), "enter_i_1") == ["counter drop"]


def test_only_hosts_of_one_vpc_are_neighbours():
    assert '"h1" . "h2"' in ruleset([ONE, TWO])
    assert '"h1" . "h2"' not in ruleset([ONE, replace(TWO, vpc="eu-west-1/vpc-b")])


def test_only_hosts_with_an_elastic_address_get_out():
    text = ruleset([ONE, TWO])
    assert 'ip saddr { 10.0.0.1 } oifname "venues" accept' in chain(text, "forward")
    assert "10.0.0.1 : 198.51.100.1" in text
    assert "10.0.0.2 :" not in text


def test_the_text_does_not_depend_on_the_order():
    assert ruleset([ONE, TWO]) == ruleset([TWO, ONE])


@pytest.mark.lab
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("hosts", [[], [ONE], [TWO], [ONE, TWO]], ids=["none", "public", "private", "both"])
def test_nftables_takes_it_and_takes_it_again(hosts):
    load = "nft -f - && nft list table inet slipway"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", load],
        input=ruleset(hosts) * 2,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("chain leave_") == len(hosts)
