"""What NetworkPolicies leave open: each rule of theirs, and what cannot be told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.netpolicy import egress
from bot.domain.signals import Egress
from tests.objects import LABELS, Object

API = ["104.18.1.1", "2606:4700::1"]
GATEWAY = ["10.0.0.7"]
DNS_RULE = {"ports": [{"port": 53, "protocol": "UDP"}]}
PODS: Object = {"podSelector": {}}


def policy(*rules: Any, name: str = "limit", selector: Any = None, **spec: Any) -> Object:
    held = {"podSelector": selector or {}, "policyTypes": ["Egress"], "egress": list(rules), **spec}
    return {"metadata": {"name": name}, "spec": held}


def block(cidr: str, *without: str) -> Object:
    return {"ipBlock": {"cidr": cidr, **({"except": list(without)} if without else {})}}


def ports(*held: Any, protocol: str | None = "TCP", **more: Any) -> Object:
    return {"ports": [{"port": one, **({"protocol": protocol} if protocol else {}), **more} for one in held]}


def closes_443(*policies: Object, addresses: list[str] | None = API) -> bool | None:
    return egress(policies, LABELS, addresses).closes_443


def closes_53(*rules: Object) -> bool | None:
    return egress([policy(*rules)], LABELS, API).closes_53


def test_default_deny_closes_both_and_names_itself() -> None:
    assert egress([policy(name="deny")], LABELS, API) == Egress(closes_443=True, closes_53=True, policies=("deny",))
    without_rules = policy(name="deny")
    del without_rules["spec"]["egress"]
    assert egress([without_rules], LABELS, None).closes_443 is True


def test_no_policy_closes_nothing() -> None:
    assert egress([], LABELS, API) == Egress(closes_443=False, closes_53=False)


@pytest.mark.parametrize(
    ("spec", "selects"),
    [
        ({}, True),
        ({"selector": {"matchLabels": {"app": "mistral-service"}}}, True),
        ({"selector": {"matchLabels": {"app": "mistral-service", "tier": "web"}}}, False),
        ({"selector": {"matchLabels": {"app": "worker"}}}, False),
        ({"selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["x", LABELS["app"]]}]}}, True),
        ({"selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["x"]}]}}, False),
        ({"selector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]}}, True),
        ({"selector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]}}, True),
        ({"selector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": [LABELS["app"]]}]}}, False),
        ({"selector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}, True),
        ({"selector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}}, False),
        ({"selector": {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}}, True),
        ({"selector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}}, False),
        ({"selector": {"matchExpressions": [{"key": "app", "operator": "Resembles", "values": ["m"]}]}}, False),
        (
            {
                "selector": {
                    "matchLabels": dict(LABELS),
                    "matchExpressions": [{"key": "tier", "operator": "Exists"}],
                }
            },
            False,
        ),
        ({"policyTypes": ["Ingress"]}, False),
        ({"policyTypes": ["Ingress", "Egress"]}, True),
        ({"policyTypes": None}, False),
        ({"policyTypes": None, "egress": [DNS_RULE]}, True),
        ({"policyTypes": None, "egress": None}, False),
    ],
    ids=[
        *("all pods", "label", "two labels", "another label", "in", "not in", "other than", "absent is other than"),
        *("not other than", "exists", "does not exist", "is absent", "is not absent", "unknown operator", "both"),
        *("ingress", "both types", "no types, no rules", "no types, rules", "no types, null"),
    ],
)
def test_a_policy_holds_back_the_pods_that_it_selects(spec: dict[str, Any], *, selects: bool) -> None:
    assert closes_443(policy(**spec)) is selects


@pytest.mark.parametrize(
    ("rule", "closed"),
    [
        ({}, False),
        ({"ports": []}, False),
        (ports(443), False),
        (ports(443, protocol=None), False),
        (ports(443, protocol="UDP"), True),
        (ports(80, 443), False),
        (ports(80), True),
        (ports(400, endPort=500), False),
        (ports(443, endPort=443), False),
        (ports(444, endPort=500), True),
        (ports(1, endPort=442), True),
        ({"ports": [{"protocol": "TCP"}]}, False),
        ({"ports": [{"protocol": "UDP"}]}, True),
        (ports("https"), True),
    ],
    ids=str,
)
def test_443_is_open_where_a_rule_has_it(rule: Object, *, closed: bool) -> None:
    assert closes_443(policy(rule)) is closed


@pytest.mark.parametrize(
    ("rule", "closed"),
    [
        ({}, False),
        (ports(443), True),
        (ports(53), False),
        (ports(53, protocol="UDP"), False),
        (ports(53, protocol="SCTP"), True),
        (ports(1, endPort=1024, protocol="UDP"), False),
        ({"to": [PODS], **ports(53, protocol="UDP")}, False),
        ({"to": [PODS], **ports("dns", protocol="UDP")}, None),
        ({"to": [PODS], **ports("dns", protocol="SCTP")}, True),
    ],
    ids=str,
)
def test_53_is_open_to_any_peer_and_a_named_port_may_be_it(rule: Object, closed: bool | None) -> None:
    assert closes_53(rule) is closed


def test_443_open_and_53_closed_is_told_apart() -> None:
    assert egress([policy(ports(443))], LABELS, API) == Egress(closes_443=False, closes_53=True, policies=("limit",))


def test_several_policies_are_a_union() -> None:
    held = [policy(name="deny"), policy(DNS_RULE, name="dns"), policy(ports(443), name="web", selector={})]
    assert egress(held, LABELS, API) == Egress(closes_443=False, closes_53=False, policies=("deny", "dns", "web"))
    others = policy(ports(443), name="theirs", selector={"matchLabels": {"app": "worker"}})
    assert egress([*held[:2], others], LABELS, API).closes_443 is True


@pytest.mark.parametrize(
    ("peers", "known", "private", "unresolved"),
    [
        ([], False, False, False),
        ([block("0.0.0.0/0")], False, False, False),
        ([block("0.0.0.0/0", "10.0.0.0/8")], False, True, None),
        ([block("0.0.0.0/0", "104.16.0.0/12")], True, False, None),
        ([block("0.0.0.0/0", "104.16.0.0/12"), block("104.18.1.1/32")], False, False, None),
        ([block("104.16.0.0/12", "104.18.0.0/16"), block("::/0", "2606:4700::/32")], True, True, None),
        ([block("104.16.0.0/12", "104.18.0.0/16"), block("2606:4700::/32")], False, True, None),
        ([block("::/0")], False, True, None),
        ([block("10.0.0.0/8")], True, False, None),
        ([block("104.18.1.1")], False, True, None),
        ([PODS], True, None, None),
        ([PODS, block("0.0.0.0/0")], False, False, False),
        ([block("not a network")], None, None, None),
        ([block("0.0.0.0/0", "nor this")], None, None, None),
    ],
    ids=[
        *("all", "every address", "without private ones", "without the API's", "except given back", "v6 too"),
        *("v6 left", "v6", "private", "one host", "pods", "pods or all", "malformed", "malformed except"),
    ],
)
def test_443_must_lead_to_the_api_and_what_is_not_known_is_not_told(
    peers: list[Object], known: bool | None, private: bool | None, unresolved: bool | None
) -> None:
    one = policy({"to": peers, **ports(443)})
    assert closes_443(one) is known
    assert closes_443(one, addresses=GATEWAY) is private
    assert closes_443(one, addresses=None) is unresolved


def test_a_named_port_leads_to_pods_alone() -> None:
    one = policy({"to": [PODS, block("0.0.0.0/0")], **ports("https")})
    assert closes_443(one) is True
    assert closes_443(one, addresses=GATEWAY) is None


def test_an_address_with_a_zone_is_read() -> None:
    assert closes_443(policy({"to": [block("fe80::/10")]}), addresses=["fe80::1%eth0"]) is False


JUNK: list[Any] = [None, 0, True, "x", [], ["x", 1, None], {}, {"x": None}, [{}], [{"x": [1]}]]
PLACES = (
    "metadata",
    "spec",
    "podSelector",
    "policyTypes",
    "egress",
    "ports",
    "port",
    "endPort",
    "to",
    "cidr",
    "except",
)


@given(st.sampled_from(PLACES), st.sampled_from(JUNK))
def test_a_policy_that_makes_no_sense_raises_nothing(place: str, junk: Any) -> None:
    held = policy({"to": [block("104.16.0.0/12", "104.18.0.0/16")], **ports(400, endPort=500)})
    spec = held["spec"]
    (rule,) = spec["egress"]
    for one in (held, spec, rule, rule["ports"][0], rule["to"][0]["ipBlock"]):
        if place in one:
            one[place] = junk
    # beside one that makes sense and opens all
    for addresses in (API, None):
        assert closes_443(held, policy({}), addresses=addresses) is False


@pytest.mark.parametrize("junk", JUNK, ids=str)
def test_selectors_that_make_no_sense_raise_nothing(junk: Any) -> None:
    for selector in ({"matchLabels": junk}, {"matchExpressions": junk}, {"matchExpressions": [{"values": junk}]}):
        assert len(egress([policy(selector=selector)], LABELS, API).policies) <= 1
    for operator in ("In", "NotIn"):
        one = {"matchExpressions": [{"key": "app", "operator": operator, "values": junk}]}
        assert len(egress([policy(selector=one)], LABELS, API).policies) == (operator == "NotIn")
