"""What is public is what somebody with the right to has sent, and nothing else of the incident, whatever began it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bot.domain.policy import Act
from bot.settings import StatusPageSettings
from bot.web.routes import Readiness, application
from bot.web.status import StatusRoutes
from tests.databases import copy_of
from tests.flows.alerting import alert, alerted
from tests.flows.desk import COMPONENTS, ROBIN, STAKEHOLDERS, desk_at
from tests.flows.test_incident_answers import ADA
from tests.flows.test_incidents import form

# Of the alert, of who wrote, of where, of what was found.
INTERNAL = (
    "INC-",
    "MistralErrors",
    "node-7",
    "prometheus",
    "5 % of requests",
    ROBIN,
    "C0INCIDENTS",
    "rate_limit",
    "429",
    "queueing in ops",
    "internal impact",
    "commander",
)


async def test_of_an_incident_that_an_alert_has_opened_only_what_was_sent_is_public(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with alerted(copy_of("SQLite", tmp_path, request)) as room:
        await room.tell(alert(labels={"instance": "node-7.prod.internal:9090"}))
        await room.slack.command("update 1", user=ROBIN)
        told = {"impact": "internal impact", "action": "queueing in ops", "publish": ["yes"]}
        answer = await room.slack.submit(
            await form(room.slack, ROBIN), {name: {"value": it} for name, it in told.items()}
        )
        assert answer["response_action"] == "push", answer
        assert await room.slack.submit(room.slack.views[ROBIN]) == {"response_action": "clear"}
        await room.settle()
        public = await room.bot.store.public(1)
        assert public is not None
        served = StatusRoutes(room.bot.store, StatusPageSettings(), COMPONENTS, None)
        pages = {}
        async with TestClient(TestServer(application(Readiness(), None, None, served))) as client:
            paths = ["/status", "/status/history", f"/status/incidents/{public.slug}", "/status/feed.atom"]
            paths += [f"/api/v2/{name}.json" for name in ("summary", "components", "incidents", "incidents/unresolved")]
            for path in paths:
                async with client.get(path) as got:
                    pages[path] = f"{await got.text()}{dict(got.headers)}"
    assert all(public.title in pages[path] for path in ("/status", "/status/feed.atom", "/api/v2/incidents.json"))
    shown = {(path, word) for path, text in pages.items() for word in INTERNAL if word.lower() in text.lower()}
    assert shown == set()


async def test_whoever_may_not_publish_any_more_does_not_send_a_preview_that_was_shown_before(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = copy_of("SQLite", tmp_path, request)
    async with desk_at(url, STAKEHOLDERS) as desk:
        await desk.declared()
        shown = (await desk.filled(publish=["yes"])).body["private_metadata"]
    restricted = replace(STAKEHOLDERS, may={Act.PUBLISH: frozenset({ADA})})
    async with desk_at(url, restricted) as desk:
        preview = await desk.filled(action="looking")
        assert "Everybody can read" not in preview.all_text
        preview.body["private_metadata"] = shown
        answer = await desk.slack.submit(preview)
        assert "To publish is for those whom the policy names" in json.dumps(answer)
        await desk.send()
        assert await desk.public() is None
        assert desk.posts() == [], "nor is anybody else told of the same draft"
