"""Runs of mitigations and their plans, for tests of what becomes of them."""

from dataclasses import replace
from typing import Any

from bot.domain.causes import Severity
from bot.domain.changes import EnvChange
from bot.domain.runs import Plan, Run
from tests.fakes import NOW

ENV = EnvChange(container="app", name="FALLBACK", before=None, after={"name": "FALLBACK", "value": "on"})


def a_plan(**fields: Any) -> Plan:
    """Of one variable that is set."""
    usual = Plan(
        cluster="prod-eu",
        namespace="chat",
        deployment="mistral-service",
        uid="5f2c",
        pin="pin",
        after="after",
        changes=(ENV,),
        shown=(("FALLBACK", "(not set)", "on"),),
        diff=("+ spec.containers[app].env[FALLBACK]: on",),
        replicas=3,
        strategy="RollingUpdate, at most 1 more and 0 fewer",
        last_rollout_s=45.0,
        warnings=(),
        commands=("kubectl -n chat set env deployment/mistral-service -c app FALLBACK=on",),
        cause="provider_outage",
        baseline=("mistral_api",),
        found_by=("health",),
    )
    return replace(usual, **fields)


def a_run(**fields: Any) -> Run:
    """A fallback that somebody has just asked for."""
    usual = Run(
        id="run1",
        incident=1,
        target="default",
        remedy="fallback",
        severity=Severity.P2,
        requested_by="U0REQUESTER",
        reason="completions fail",
        requested_at=NOW,
        temporary=True,
    )
    return replace(usual, **fields)
