"""What the NetworkPolicies that select a pod leave open on the way out, all of them taken together."""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from bot.domain.signals import Egress

Object = Mapping[str, Any]
HTTPS, DNS = 443, 53


def egress(policies: Iterable[Object], labels: Mapping[str, str], addresses: Sequence[str] | None) -> Egress:
    """The signal for a pod with ``labels``. ``addresses``: of Mistral's API; None where they are not known.

    443 must be open to one of the addresses (a peer within the cluster does not lead there), 53 to any peer.
    """
    selecting = [policy for policy in policies if _restricts_egress(policy) and _selects(policy, labels)]
    if not selecting:
        return Egress(closes_443=False, closes_53=False)
    rules = [rule for policy in selecting for rule in (policy.get("spec") or {}).get("egress") or ()]
    out = [_leads_out(rule, addresses) for rule in rules if _opens(rule, HTTPS, ("TCP",))]
    return Egress(
        closes_443=False if any(out) else None if None in out else True,
        closes_53=not any(_opens(rule, DNS, ("UDP", "TCP")) for rule in rules),
        policies=tuple(str(policy["metadata"].get("name")) for policy in selecting),
    )


def _restricts_egress(policy: Object) -> bool:
    spec = policy.get("spec") or {}
    types = spec.get("policyTypes")
    return "Egress" in types if types else "egress" in spec


def _selects(policy: Object, labels: Mapping[str, str]) -> bool:
    selector = (policy.get("spec") or {}).get("podSelector") or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_matches(one, labels) for one in selector.get("matchExpressions") or ())


def _matches(expression: Object, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(str(expression.get("key"))), expression.get("values") or ()
    match expression.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    return False


def _opens(rule: Object, port: int, protocols: Sequence[str]) -> bool:
    """No ports: all of them. A named port is one of the peer's and leads nowhere that is known."""
    ports = rule.get("ports")
    if not ports:
        return True
    for one in ports:
        if (one.get("protocol") or "TCP") not in protocols:
            continue
        first = one.get("port")
        if first is None or (isinstance(first, int) and first <= port <= int(one.get("endPort") or first)):
            return True
    return False


def _leads_out(rule: Object, addresses: Sequence[str] | None) -> bool | None:
    """Whether a peer of the rule is where Mistral's API is; None: it cannot be told."""
    peers = rule.get("to")
    if not peers:
        return True
    found: list[bool | None] = [_covers(peer["ipBlock"], addresses) for peer in peers if peer.get("ipBlock")]
    return True if any(found) else None if None in found else False


def _covers(block: Object, addresses: Sequence[str] | None) -> bool | None:
    network = ip_network(str(block.get("cidr")), strict=False)
    without = [ip_network(str(one), strict=False) for one in block.get("except") or ()]
    if addresses is None:
        return True if network.prefixlen == 0 else None
    parsed: list[IPv4Address | IPv6Address] = [ip_address(one.partition("%")[0]) for one in addresses]
    return any(one in network and not any(one in hole for hole in without) for one in parsed)
