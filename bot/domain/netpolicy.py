"""What the NetworkPolicies that select a pod leave open on the way out, all of them taken together.

What cannot be told is None: it satisfies no condition of the decision table, whereas a wrong "closed" would.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from bot.domain.objects import Object, each, whole, within
from bot.domain.signals import Egress

HTTPS, DNS = 443, 53
_EVERY_IPV4 = ip_network("0.0.0.0/0")
_Address = IPv4Address | IPv6Address


def egress(policies: Iterable[Object], labels: Mapping[str, str], addresses: Sequence[str] | None) -> Egress:
    """The signal for a pod with ``labels``. ``addresses``: of Mistral's API; None where they are not known.

    443 must be open to one of the addresses, 53 to any peer.
    """
    selecting = [policy for policy in policies if _restricts_egress(policy) and _selects(policy, labels)]
    if not selecting:
        return Egress(closes_443=False, closes_53=False)
    rules = [rule for policy in selecting for rule in each(policy, "spec", "egress")]
    known = None if addresses is None else [ip_address(one.partition("%")[0]) for one in addresses]
    return Egress(
        closes_443=_closed(_opens_https(rule, known) for rule in rules),
        closes_53=_closed(_opens(rule, DNS, ("UDP", "TCP")) for rule in rules),
        policies=tuple(str(within(policy, "metadata").get("name")) for policy in selecting),
    )


def _closed(opened: Iterable[bool | None]) -> bool | None:
    held = list(opened)
    return False if any(held) else None if None in held else True


def _opens_https(rule: Object, addresses: Sequence[_Address] | None) -> bool | None:
    opened = _opens(rule, HTTPS, ("TCP",))
    # only pods name their ports: a named one leads to them and nowhere else
    return _is_a_pods(addresses) if opened is None else opened and _leads_out(rule, addresses)


def _restricts_egress(policy: Object) -> bool:
    """Without policyTypes the API takes a policy for egress only where it has rules for it."""
    types = within(policy, "spec").get("policyTypes")
    return "Egress" in types if types and isinstance(types, list) else bool(each(policy, "spec", "egress"))


def _selects(policy: Object, labels: Mapping[str, str]) -> bool:
    wanted = within(policy, "spec", "podSelector", "matchLabels")
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_matches(one, labels) for one in each(policy, "spec", "podSelector", "matchExpressions"))


def _matches(expression: Object, labels: Mapping[str, str]) -> bool:
    value, listed = labels.get(str(expression.get("key"))), expression.get("values")
    values = listed if isinstance(listed, list) else []
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


def _opens(rule: Object, port: int, protocols: Sequence[str]) -> bool | None:
    """No ports: all of them. Which port a named one is, only the pods behind it say (kube-dns names its 53)."""
    if not rule.get("ports"):
        return True
    found: list[bool | None] = []
    for one in each(rule, "ports"):
        if (one.get("protocol") or "TCP") in protocols:
            first = one.get("port")
            last = whole(one.get("endPort"), whole(first, 0))
            found.append(True if first is None else None if isinstance(first, str) else whole(first, 0) <= port <= last)
    return True if any(found) else None if None in found else False


def _leads_out(rule: Object, addresses: Sequence[_Address] | None) -> bool | None:
    """Whether a peer of the rule is where Mistral's API is."""
    if not rule.get("to"):
        return True
    found = [_covers(peer, addresses) for peer in each(rule, "to")]
    return True if any(found) else None if None in found else False


def _covers(peer: Object, addresses: Sequence[_Address] | None) -> bool | None:
    block = within(peer, "ipBlock")
    if not block:
        return _is_a_pods(addresses)
    try:
        network = ip_network(str(block.get("cidr")), strict=False)
        without = [ip_network(str(one), strict=False) for one in block.get("except") or ()]
    except (ValueError, TypeError):
        return None
    if addresses is None:
        return True if network == _EVERY_IPV4 and not without else None
    return any(one in network and not any(one in hole for hole in without) for one in addresses)


def _is_a_pods(addresses: Sequence[_Address] | None) -> bool | None:
    """Never a public address; another may be that of one's own gateway to the API."""
    return None if addresses is None or not all(one.is_global for one in addresses) else False
