"""A rotation whose pods cannot be restarted: where the keys then are is said, by whoever takes over too."""

from dataclasses import replace

from bot.domain.changes import AnnotationChange, template_hash
from bot.domain.policy import Mitigations
from bot.domain.runs import Outcome, Run, RunChange, State
from bot.domain.workload import template
from bot.handlers.applying import Applier
from bot.handlers.planning import secret_pin
from bot.handlers.probing import Prober, TargetWorld
from bot.handlers.rotation import Rotation
from bot.ports import Cluster, Exchange, ServiceKey
from bot.settings import Labels, Limits, Target, Timeouts
from tests.fakes import Asked, FakeClock, FakeCluster, FakeHttp, target
from tests.handlers.test_rotation import CHANGE, MODELS, NEW, OLD, held, secret
from tests.objects import deployment
from tests.runs import a_plan, a_run

RESTART = AnnotationChange(name="kubectl.kubernetes.io/restartedAt", before=None, after="2026-07-01T12:00:00Z")


class Rotated:
    """A cluster in which the run that rotates the key is being applied; the pods may not be restarted."""

    def __init__(self, *, refuses: str = "") -> None:
        """``refuses``: the key with which Mistral is asked as the cluster begins to refuse the Secret as well."""
        service = deployment()
        service["metadata"]["resourceVersion"] = "1"
        secrets = [secret("mistral-secrets", OLD), secret("next", NEW)]
        self.cluster = FakeCluster(
            objects={"Secret": secrets, "Deployment": [service], "ReplicaSet": [], "Pod": []},
            forbidden=frozenset({"patch Deployment"}),
        )
        plan = a_plan(
            uid=service["metadata"]["uid"],
            pin=template_hash(template(service)),
            changes=(CHANGE, RESTART),
            secret_pin=secret_pin(secrets[0]),
        )
        self.run = a_run(remedy="rotate_key", state=State.APPLYING, plan=plan)

        def answer(request: Asked) -> Exchange:
            if request.headers["Authorization"] == f"Bearer {refuses}":
                self.cluster.forbidden |= {"patch Secret"}
            return Exchange(status=200, body=MODELS)

        world = TargetWorld(
            target=replace(target(), name="default"),
            http=FakeHttp({"/v1/models": answer}),
            metrics=None,
            cluster=self.cluster,
        )
        self.prober = Prober(
            worlds={"default": world},
            timeouts=Timeouts(),
            limits=Limits(),
            labels=Labels(),
            slack_api_url="http://slack/api/",
            clock=FakeClock(),
            read_service_key=no_key,
        )

    async def applied(self) -> RunChange:
        """As a process does that knows nothing of what another has done."""
        return await Applier(prober=self.prober, policy=Mitigations(), rotation=Rotation()).apply(self.run, ours)


async def ours(_: Run) -> None:
    """No other process takes the run."""


async def no_key(_: Target, __: Cluster | None) -> ServiceKey | None:
    return None


async def test_whoever_takes_over_after_the_old_key_was_put_back_restarts_nothing_and_says_so() -> None:
    rotated = Rotated()
    before = (await rotated.applied()).run  # and it died before it could say so
    assert before.outcome is Outcome.FAILED
    assert "The old key was put back." in before.said
    rotated.cluster.forbidden = frozenset()
    after = (await rotated.applied()).run
    assert after.outcome is Outcome.FAILED, "a restart with the old key would count as a rotation"
    assert "The old key was put back." in after.said
    assert [kind for kind, _, _ in rotated.cluster.patches] == ["Secret", "Secret"]
    assert await held(rotated.cluster) == {"api-key": OLD}


async def test_a_new_key_that_cannot_be_taken_out_again_is_said_to_be_there() -> None:
    rotated = Rotated(refuses=OLD)
    ended = (await rotated.applied()).run
    assert ended.outcome is Outcome.FAILED
    assert "Nothing was changed" not in ended.said
    assert "The pods could not be restarted." in ended.said
    assert "The old key is still in the Secret, beside the new one" in ended.said
    assert (await held(rotated.cluster))["api-key"] == NEW


async def test_a_rotation_that_was_given_up_is_not_said_to_be_done_by_whoever_takes_over() -> None:
    rotated = Rotated()
    await rotated.applied()
    run, plan, asks = rotated.run, rotated.run.plan, rotated.prober.run_of("default", "mitigation")
    assert plan is not None
    assert await Rotation().settled(run, plan, asks, back=False) == "The old key was put back."
