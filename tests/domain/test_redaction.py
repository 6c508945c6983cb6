"""Twenty and more kinds of secrets, planted in ordinary text: none survives, and ordinary text does."""

import pytest

from bot.domain.redaction import mask, redact
from tests.planted import MARK, PLANTED, P


@pytest.mark.parametrize("text", PLANTED.values(), ids=PLANTED.keys())
@pytest.mark.parametrize("around", ["{}", "2026-03-02T12:00:00Z ERROR call failed: {}", "a={} b=2"])
def test_no_planted_secret_survives(text: str, around: str) -> None:
    shown = redact(around.format(text))
    assert P not in shown
    assert "AKIAPLANTED" not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "text",
    [
        "pod mistral-service-7d9f8b6c5-x2k4j is ready",
        "pod my-pk-controller-7d9f8c5b6-abcde is ready",
        "trace 4bf92f3577b34da6a3ce929d0e0e4736",
        "id 123e4567-e89b-12d3-a456-426614174000",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "max_tokens=5 total_tokens: 512",
        "ERROR mistral call failed: 401 Unauthorized",
        "x-ratelimit-remaining-tokens-month: 0",
        "run --max-tokens 5 --use-token --verbose",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_known_values_are_masked_wherever_they_stand_the_longest_first() -> None:
    assert mask("a secret-long and a secret", ["secret", "secret-long", ""]) == "a *** and a ***"


@pytest.mark.parametrize(
    "text", [f"AWS secret: aws_secret_access_key = {P}", f"password=token={P}", f"Secret:api_key: {P}"]
)
def test_the_value_of_a_name_of_a_name_is_masked(text: str) -> None:
    assert MARK not in redact(text).lower()
