"""The egress probe: what NetworkPolicies close to the service's pods, in one line."""

from typing import Any

import pytest

from bot.domain.signals import Egress
from bot.probes.egress import PROBE
from tests.fakes import FakeCluster, probe_run
from tests.objects import LABELS, Object, container, deployment, variable

HERE = "http://127.0.0.1:9"
DNS_RULE: Object = {"ports": [{"port": 53, "protocol": "UDP"}]}
HTTPS_RULE: Object = {"ports": [{"port": 443}]}


def policy(*rules: Object, name: str = "limit", **labels: str) -> Object:
    spec = {"podSelector": {"matchLabels": labels or LABELS}, "policyTypes": ["Egress"], "egress": list(rules)}
    return {"metadata": {"name": name}, "spec": spec}


async def checked(
    *policies: Object, url: str = HERE, wanted: Object | None = None
) -> tuple[str, str, bool | None, bool | None]:
    cluster = FakeCluster(objects={"Deployment": [wanted or deployment()], "NetworkPolicy": policies})
    finding = await PROBE.check(probe_run(cluster=cluster, environ={"MISTRAL_API_URL": url}))
    assert isinstance(finding.signal, Egress)
    return finding.verdict, finding.summary, finding.signal.closes_443, finding.signal.closes_53


def to(cidr: str, *without: str) -> Object:
    return {**HTTPS_RULE, "to": [{"ipBlock": {"cidr": cidr, "except": list(without)}}]}


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        ([], ("ok", "no NetworkPolicy holds the pods back", False, False)),
        ([policy(app="worker")], ("ok", "no NetworkPolicy holds the pods back", False, False)),
        ([policy()], ("bad", "closes 443 and 53 (limit)", True, True)),
        ([policy(DNS_RULE)], ("bad", "closes 443 (limit)", True, False)),
        ([policy(HTTPS_RULE)], ("bad", "closes 53 (limit)", False, True)),
        (
            [policy(name="deny"), policy(DNS_RULE, HTTPS_RULE, name="web")],
            ("ok", "open for 443 and 53 (deny, web)", False, False),
        ),
        ([policy(DNS_RULE, to("127.0.0.0/8"))], ("ok", "open for 443 and 53 (limit)", False, False)),
        ([policy(DNS_RULE, to("0.0.0.0/0", "127.0.0.0/8"))], ("bad", "closes 443 (limit)", True, False)),
        ([policy(name=name) for name in "abcde"], ("bad", "closes 443 and 53 (a, b, c)", True, True)),
    ],
    ids=["none", "another's", "deny", "DNS only", "HTTPS only", "union", "the API's block", "its exception", "many"],
)
async def test_what_is_closed_is_told_with_the_policies(policies: list[Object], told: Any) -> None:
    assert await checked(*policies) == told


@pytest.mark.parametrize("host", ["mistral.invalid", "x" * 70 + ".invalid"], ids=["unknown", "impossible"])
async def test_with_an_api_whose_name_does_not_resolve_a_block_cannot_be_told(host: str) -> None:
    told = await checked(policy(DNS_RULE, to("104.16.0.0/12")), url=f"https://{host}")
    assert told == ("ok", "443 cannot be told (limit)", None, False)


async def test_pods_that_go_through_a_proxy_are_not_held_to_the_apis_address() -> None:
    proxied = deployment(container("app", variable("HTTPS_PROXY", "http://proxy:3128")))
    assert (await checked(policy(DNS_RULE), wanted=proxied))[1:3] == ("443 cannot be told (limit)", None)
