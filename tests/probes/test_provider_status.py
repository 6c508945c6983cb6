"""The provider's status page in its forms: open incidents that concern the service, and pages that cannot be read."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from bot.domain.signals import Failure, Finding, ProviderStatus, Verdict
from bot.errors import BadAnswer, NotConfigured, Unreachable
from bot.ports import Exchange
from bot.probes.provider_status import PROBE
from tests.fakes import FakeHttp, probe_run
from tests.upstreams import BAD_BODIES, answering, found_over_the_wire

Incident = Mapping[str, Any]
API_DOWN: Incident = {
    "name": "Elevated errors",
    "status": "investigating",
    "impact": "critical",
    "components": [{"id": "1", "name": "API"}],
}


def said(document: Any, status: int = 200) -> Exchange:
    return Exchange(status=status, body=json.dumps(document).encode(), latency_ms=5)


def rootly(indicator: str, *incidents: Incident) -> dict[str, Exchange]:
    return {
        "/api/v1/status.json": said({"page": {"name": "Mistral AI"}, "status": {"indicator": indicator}}),
        "/api/v1/incidents.json": said({"incidents": incidents}),
    }


def rootly_bare(indicator: str, *incidents: Incident) -> dict[str, Exchange]:
    listed = [{"id": "1", "attributes": one} for one in incidents]
    return {
        "/api/v1/status.json": said({"indicator": indicator}),
        "/api/v1/incidents.json": said({"data": listed}),
    }


def rootly_list(indicator: str, *incidents: Incident) -> dict[str, Exchange]:
    return {"/api/v1/status.json": said({"indicator": indicator}), "/api/v1/incidents.json": said(list(incidents))}


def statuspage(indicator: str, *incidents: Incident) -> dict[str, Exchange]:
    page = {"id": "x", "name": "Mistral AI", "url": "https://status.mistral.ai"}
    told = {"page": page, "status": {"indicator": indicator}, "components": [], "incidents": incidents}
    return {"/api/v2/summary.json": said(told)}


def instatus(indicator: str, *incidents: Incident) -> dict[str, Exchange]:
    page = {"name": "Mistral AI", "url": "x", "status": "UP" if indicator == "none" else "HASISSUES"}
    upper = [{**one, "status": str(one.get("status", "")).upper()} for one in incidents]
    return {"/summary.json": said({"page": page, **({"activeIncidents": upper} if upper else {})})}


FORMS = [rootly, rootly_bare, rootly_list, statuspage, instatus]


async def found(answers: Mapping[str, Exchange], models: str = "mistral-small-latest") -> Finding:
    return await PROBE.check(probe_run(http=FakeHttp(answers), environ={"MISTRAL_CANARY_MODELS": models}))


def signal_of(finding: Finding) -> ProviderStatus:
    assert isinstance(finding.signal, ProviderStatus)
    return finding.signal


@pytest.mark.parametrize("form", FORMS)
async def test_a_page_without_incidents_is_ok_in_every_form(form: Any) -> None:
    finding = await found(form("none"))
    assert (finding.verdict, signal_of(finding)) == (Verdict.OK, ProviderStatus(indicator="none"))
    assert finding.summary == "status page says none, with no incident that concerns the API or a used model"


@pytest.mark.parametrize("form", FORMS)
async def test_an_open_incident_of_the_api_is_told_in_every_form(form: Any) -> None:
    finding = await found(form("major", API_DOWN))
    assert (finding.verdict, signal_of(finding).indicator) == (Verdict.BAD, "major")
    assert signal_of(finding).incidents == ("Elevated errors (critical)",)
    assert finding.summary == "status page says major: Elevated errors (critical)"


@pytest.mark.parametrize(
    ("incident", "told"),
    [
        ({"name": "Chat completions fail"}, "Chat completions fail"),
        ({"name": "Embeddings API slow", "impact": "minor"}, "Embeddings API slow (minor)"),
        ({"name": "Mistral Small: errors"}, "Mistral Small: errors"),
        ({"name": "mistral-small-2506 unavailable"}, "mistral-small-2506 unavailable"),
        ({"name": "All models are degraded", "impact": None}, "All models are degraded"),
        ({"name": "", "components": [{"name": "API"}]}, "an incident without a name (API)"),
        ({"name": "  ", "title": "API errors"}, "API errors"),
        ({"title": "API errors", "severity": "sev1"}, "API errors (sev1)"),
        ({"name": "Errors", "components": ["Chat"]}, "Errors"),
        ({"name": "Errors", "affected_components": [{"name": "Inference"}]}, "Errors"),
        ({"name": "API errors", "impact": "none"}, "API errors (none)"),
        ({"name": "API errors", "status": "monitoring", "resolved_at": None}, "API errors"),
        ({"name": "API\n\n errors" + "x" * 500}, "API errors" + "x" * 190),
    ],
    ids=lambda held: json.dumps(held)[:50] if isinstance(held, dict) else "",
)
async def test_an_incident_that_concerns_the_service_is_told(incident: Incident, told: str) -> None:
    assert signal_of(await found(statuspage("minor", incident))).incidents == (told,)


@pytest.mark.parametrize(
    "incident",
    [
        {"name": "Le Chat is slow"},
        {"name": "le chat: login fails", "components": [{"name": "Le Chat"}]},
        {"name": "Console: invoices are late", "components": [{"name": "Console"}]},
        {"name": "Mistral Large: errors"},
        {"name": "Voxtral transcription fails"},
        {"name": "Capital city data is old"},
        {"name": ""},
        {},
        {"name": None, "components": None},
        {**API_DOWN, "status": "resolved"},
        {**API_DOWN, "status": "Resolved"},
        {**API_DOWN, "status": "postmortem"},
        {**API_DOWN, "status": "scheduled"},
        {**API_DOWN, "status": "completed"},
        {**API_DOWN, "resolved_at": "2026-07-01T12:00:00Z"},
        {**API_DOWN, "resolvedAt": "2026-07-01T12:00:00Z"},
    ],
    ids=lambda held: json.dumps(held)[:70],
)
async def test_an_incident_of_another_product_or_that_is_over_is_not_told(incident: Incident) -> None:
    finding = await found(statuspage("major", incident))
    assert (finding.verdict, signal_of(finding).incidents) == (Verdict.OK, ())


async def test_an_incident_that_names_a_used_model_is_told_and_of_another_model_not() -> None:
    incidents = ({"name": "Mistral Large 2 errors"}, {"name": "Codestral Embed errors"})
    assert signal_of(await found(statuspage("minor", *incidents), "codestral-embed")).incidents == (
        "Codestral Embed errors",
    )
    assert signal_of(await found(statuspage("minor", *incidents), "mistral-large-latest")).incidents == (
        "Mistral Large 2 errors",
    )
    assert signal_of(await found(statuspage("minor", *incidents), "mistral-large-2407")).incidents == (
        "Mistral Large 2 errors",
    )
    assert signal_of(await found(statuspage("minor", *incidents), "")).incidents == ()


async def test_of_a_thousand_incidents_ten_are_told() -> None:
    finding = await found(statuspage("critical", *({"name": f"API {number}"} for number in range(1000))))
    assert len(signal_of(finding).incidents) == 10
    assert len(finding.summary) < 400


@pytest.mark.parametrize(
    ("word", "indicator"),
    [("NONE", "none"), ("maintenance", "maintenance"), ("critical", "critical"), ("odd\n word" + "x" * 99, "odd word")],
)
async def test_the_indicator_is_one_short_line(word: str, indicator: str) -> None:
    told = signal_of(await found(statuspage(word))).indicator
    assert told.startswith(indicator)
    assert len(told) <= 40
    assert "\n" not in told


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({}, "no known form of JSON (404)"),
        (statuspage("none") | {"/api/v2/summary.json": said({"incidents": []})}, "(200, 404)"),
        ({"/api/v2/summary.json": said({"status": {"indicator": "none"}})}, "(200, 404)"),
        ({"/api/v2/summary.json": said({"status": {"indicator": 5}, "incidents": []})}, "(200, 404)"),
        ({"/api/v2/summary.json": said([])}, "(200, 404)"),
        ({"/summary.json": said({"page": {"status": "UP"}, "activeIncidents": "none"})}, "(200, 404)"),
        (rootly("none") | {"/api/v1/incidents.json": said({}, 500)}, "(200, 404, 500)"),
        (statuspage("none") | {"/api/v2/summary.json": said({}, 403)}, "(403, 404)"),
    ],
)
async def test_a_page_in_no_known_form_is_unknown(answers: Mapping[str, Exchange], sentence: str) -> None:
    with pytest.raises(BadAnswer) as told:
        await found(answers)
    assert str(told.value).startswith("the status page https://status.mistral.ai cannot be read")
    assert sentence in str(told.value)


@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_a_challenge_page_or_any_other_nonsense_is_unknown_and_never_fine(body: bytes, status: int) -> None:
    async with answering(status, body) as url:
        with pytest.raises(BadAnswer, match="cannot be read"):
            await found_over_the_wire(PROBE, environ={"MISTRAL_STATUS_URL": url})


async def test_a_page_that_gives_no_answer_is_unknown() -> None:
    ends = ("/status.json", "/incidents.json", "/summary.json")
    with pytest.raises(Unreachable, match=r"gives no answer \(dns\)"):
        await found({end: Exchange(failure=Failure.DNS) for end in ends})


async def test_one_form_that_makes_sense_is_enough_while_others_fail_or_hang() -> None:
    class Hanging(FakeHttp):
        async def fetch(self, method: str, url: str, **more: Any) -> Exchange:
            if "/api/v1/" in url:
                await asyncio.Event().wait()
            return await super().fetch(method, url, **more)

    async with asyncio.timeout(5):
        finding = await PROBE.check(probe_run(http=Hanging(instatus("major", API_DOWN))))
    assert signal_of(finding).incidents == ("Elevated errors (critical)",)


async def test_an_empty_address_is_not_configured() -> None:
    http = FakeHttp()
    with pytest.raises(NotConfigured, match="MISTRAL_STATUS_URL is empty"):
        await PROBE.check(probe_run(http=http, environ={"MISTRAL_STATUS_URL": ""}))
    assert http.asked == []


async def test_the_addresses_of_the_forms_are_below_the_one_that_is_set_and_no_key_is_sent() -> None:
    http = FakeHttp(statuspage("none"))
    await PROBE.check(probe_run(http=http, environ={"MISTRAL_STATUS_URL": "http://status.test/mistral/"}))
    assert {asked.url for asked in http.asked} == {
        f"http://status.test/mistral/{path}"
        for path in ("api/v1/status.json", "api/v1/incidents.json", "api/v2/summary.json", "summary.json")
    }
    assert not any("Authorization" in asked.headers for asked in http.asked)
