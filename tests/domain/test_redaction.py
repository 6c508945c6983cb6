"""Twenty and more kinds of secrets, planted in ordinary text: none survives, and ordinary text does."""

import pytest

from bot.domain.redaction import mask, redact

P = "pLaNtEd0123456789abcdefghij"
PLANTED = {
    "authorization header": f"Authorization: Bearer {P}",
    "authorization in JSON": f'{{"authorization": "Basic {P}"}}',
    "bearer in prose": f"sent bearer {P} to the API",
    "api key in a query": f"GET /v1?api_key={P}&x=1",
    "variable": f"MISTRAL_API_KEY={P}",
    "YAML": f"  apiKey: {P}",
    "JSON password": f'{{"password": "{P}", "user": "ada"}}',
    "JSON in JSON": f'{{\\"password\\":\\"{P}\\"}}',
    "JSON that was cut": f'{{"password": "{P}',
    "single quotes": f"secret='{P}'",
    "password in a URL": f"postgresql://ada:{P}@db/app",
    "Slack bot token": f"xoxb-1-{P}",
    "Slack app token": f"xapp-1-{P}",
    "Slack webhook": f"https://hooks.slack.com/services/T0/B0/{P}",
    "AWS access key id": "AKIAPLANTED012345678",
    "AWS secret": f"aws_secret_access_key = {P}",
    "GitHub token": f"ghp_{P}",
    "GitLab token": f"glpat-{P}",
    "OpenAI key": f"sk-proj-{P}",
    "Stripe key": f"sk_live_{P}",
    "Google API key": f"AIza{P}xxxxxx",
    "Google OAuth token": f"ya29.{P}",
    "JSON web token": f"eyJhbGciOi.{P}.{P}",
    "private key": f"-----BEGIN RSA PRIVATE KEY-----\n{P}\n-----END RSA PRIVATE KEY-----",
    "private key that was cut": f"-----BEGIN PRIVATE KEY-----\n{P}",
    "cookie": f"Cookie: sid={P}; theme=dark",
    "set-cookie": f"set-cookie: sid={P}; Path=/",
    "npm token": f"npm_{P}",
    "SendGrid key": f"SG.{P}.{P}",
    "Azure signature": f"https://x.blob.core.windows.net/a?sv=1&sig={P}",
    "PagerDuty": f"routing_key: {P}",
    "Vault token": f"hvs.{P}",
}


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
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_known_values_are_masked_wherever_they_stand_the_longest_first() -> None:
    assert mask("a secret-long and a secret", ["secret", "secret-long", ""]) == "a *** and a ***"
