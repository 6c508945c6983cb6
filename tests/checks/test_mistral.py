"""The doctor on Mistral's API: the key accepted or not, and never more of it than its length and four characters."""

import pytest

from bot.checks.mistral import CHECK
from bot.sandbox import mistral
from bot.sandbox.scenario import AnswerSpec, Expect, MistralSpec, Scenario
from bot.sandbox.world import World
from tests.clusters import serve
from tests.doctors import examined, lines

KEY = "sand-planted-4f9a1c7e2b8d"
DESCRIBED = "(25 characters, begins with sand, from the environment)"
MODELS = (True, "canary models: mistral-small-latest")


async def asked(spec: AnswerSpec, *, key: str = KEY, **environ: str) -> list[tuple[bool, str, str]]:
    scenario = Scenario(
        name="a test's", mistral=MistralSpec(models=spec), expect=Expect(cause="healthy", severity="P4")
    )
    async with serve(mistral.application(World(scenario=scenario, service_key=KEY))) as url:
        environ = {"MISTRAL_API_URL": url, "MISTRAL_API_KEY": key, **environ}
        results = await examined(CHECK, environ)
    assert "planted" not in repr(results)
    return [(ok, text, result.mend) for (ok, text), result in zip(lines(results), results, strict=True)]


async def test_a_key_that_is_accepted_is_described_and_not_shown() -> None:
    told = await asked(AnswerSpec())
    assert [one[:2] for one in told] == [(True, f"key: is accepted {DESCRIBED}"), MODELS]


async def test_a_short_key_shows_its_length_alone() -> None:
    ((ok, text, _),) = await asked(AnswerSpec(), key="short-key")
    assert (ok, text) == (False, "key: GET /v1/models: 401 (9 characters, from the environment)")


@pytest.mark.parametrize(
    ("spec", "outcome", "mend"),
    [
        (AnswerSpec(status=401), "401", "Check the key in console.mistral.ai"),
        (AnswerSpec(status=402), "402", "spend cap"),
        (AnswerSpec(status=429), "429", "higher limit"),
        (AnswerSpec(status=503), "503", "`mistral-bot triage`"),
        (AnswerSpec(fail="garbage"), "garbage", "Something else answers"),
        (AnswerSpec(status=200, body={"data": "none"}), "garbage", "Something else answers"),
        (AnswerSpec(fail="connect"), "connect", "HTTPS_PROXY"),
    ],
    ids=lambda held: str(held) if isinstance(held, str) else "",
)
async def test_an_api_that_does_not_take_the_key_says_how_to_mend_it(spec: AnswerSpec, outcome: str, mend: str) -> None:
    ((ok, text, told),) = await asked(spec)
    assert (ok, text) == (False, f"key: GET /v1/models: {outcome} {DESCRIBED}")
    assert mend in told


@pytest.mark.parametrize(
    ("url", "mend"),
    [("http://127.0.0.1:9", "TCP port 443"), ("http://mistral.invalid", "name resolution")],
    ids=["closed", "no such name"],
)
async def test_an_api_that_cannot_be_reached_says_at_which_stage(url: str, mend: str) -> None:
    ((ok, _, told),) = await asked(AnswerSpec(), MISTRAL_API_URL=url)
    assert not ok
    assert mend in told


async def test_a_canary_model_that_the_api_does_not_list_is_named() -> None:
    told = await asked(AnswerSpec(), MISTRAL_CANARY_MODELS="mistral-small-latest,mistral-smal")
    assert told[1][:2] == (False, "canary models: not among the API's models: mistral-smal")
    assert "MISTRAL_CANARY_MODELS" in told[1][2]
    assert len(await asked(AnswerSpec(), MISTRAL_CANARY_MODELS="")) == 1


async def test_without_a_key_it_is_not_configured() -> None:
    assert await examined(CHECK, {}) == ()
