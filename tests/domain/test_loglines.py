"""Which log lines are errors, of what kind, and what is shown of them."""

import pytest

from bot.domain.loglines import ErrorLines, is_error, kind_of, pattern_of, shown

HOST = "api.mistral.ai"


@pytest.mark.parametrize(
    "line",
    [
        "ERROR mistral call failed",
        "2026-01-01 12:00:00,123 ERROR app: x",
        'level=error msg="boom"',
        '{"level":"error","msg":"x"}',
        '{"level":50,"msg":"x"}',
        "E0102 12:00:00.000 1 x.go:1] bad",
        "Traceback (most recent call last):",
        "ValueError: bad",
        "panic: runtime error",
        "ERROR worker died errors=0",
        "[FATAL] gone",
        "2026/03/02 12:00:00 [error] 12#12: upstream mistral 502",
        "12:00PM ERR mistral call failed",
        "2024/05/05 10:00:00 info: retrying after ConnectError: refused",
        '{"t":1700000000,"trace":"abc","msg":"MistralError: 500 boom"}',
    ],
)
def test_an_error_line(line: str) -> None:
    assert is_error(line)


@pytest.mark.parametrize(
    "line",
    [
        "INFO errors=0",
        "done with 0 errors",
        '{"level":"info","error":null}',
        "error: none",
        "finished with no error",
        '  File "x.py", line 3',
        "WARN retried after an error",
        "INFO handled ValueError: x",
        "recovered from error in 3 ms",
        "2024/05/05 10:00:00 error handler installed",
        '{"t":1700000000,"error":""}',
    ],
)
def test_no_error_line(line: str) -> None:
    assert not is_error(line)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("ERROR mistral call failed: 401 Unauthorized", "401"),
        (f"ERROR {HOST} answered 429 Too Many Requests", "429"),
        ("ERROR Mistral: 503", "503"),
        ("ERROR code 3505 service tier capacity exceeded (mistral)", "429"),
        ('ERROR mistral {"type":"invalid_model","code":"1500"}', "invalid_model"),
        ("ERROR GET /users 401", "other"),
        ("httpx.ConnectError: [Errno -2] Name or service not known", "dns"),
        ("ERROR connect ECONNREFUSED 10.0.0.1:443", "connect"),
        ("ERROR certificate verify failed", "tls"),
        ("ERROR mistral request timed out", "timeout"),
        ("ERROR KeyError", "other"),
        ('{"level":"error","msg":"mistral call failed","status":401}', "401"),
        ("ERROR mistral returned 401: Unauthorized", "401"),
        ("ERROR mistral status:429", "429"),
        ("ERROR mistral HTTP401", "401"),
        ("ERROR mistral answered 401.", "401"),
        ("ERROR mistral 401-Unauthorized", "401"),
        ('mistralai.models.sdkerror.SDKError: API error occurred: Status 429. Body: {"message":"x"}', "429"),
        ("E0302 12:00:00.000000 1 main.go:401] mistral call failed: 500", "500"),
        ("2026-03-02 12:00:00,401 ERROR mistral call failed: 503", "503"),
        ("ERROR mistral took 429 ms, failed: 500", "500"),
        ("ERROR mistral 12:34:500 [trace=401abc] 10.0.0.429 host:503 a-404 failed", "other"),
        ("ERROR quota, code 1300", "429"),
        ("ERROR mistral httpx.ConnectTimeout", "connect"),
        ("ERROR mistral connect ETIMEDOUT 104.18.0.1:443", "connect"),
        ("ERROR mistral dial tcp 104.18.0.1:443: i/o timeout", "connect"),
        ("ERROR mistral dial tcp: lookup api.mistral.ai on 10.0.0.10:53: read udp: i/o timeout", "dns"),
        ("ERROR mistral httpx.ReadTimeout", "timeout"),
        ("ERROR mistral TLS handshake timeout", "tls"),
        ("ERROR mistral SSLCertVerificationError", "tls"),
        ("ERROR mistral httpx.ConnectError: All connection attempts failed", "connect"),
        ("ERROR mistral no route to host", "connect"),
        ("ERROR mistral could not connect", "connect"),
        ("ERROR mistral socket hang up", "connect"),
    ],
)
def test_the_kind_of_an_error(line: str, kind: str) -> None:
    assert kind_of(line, HOST) == kind


def test_lines_that_differ_in_numbers_ids_and_quoted_values_are_one_pattern() -> None:
    first = pattern_of('ERROR request 17 of "ada" failed: 123e4567-e89b-12d3-a456-426614174000')
    second = pattern_of('ERROR request 4 of "bob" failed: 00000000-e89b-12d3-a456-426614174fff')
    assert first == second


def test_the_ten_newest_lines_are_kept_newest_first() -> None:
    lines = ErrorLines(HOST, 200)
    for second in range(30):
        lines.add("pod", f"2026-03-02T12:00:{second:02d}.123456789Z", f"ERROR number {second}")
    newest = lines.newest()
    assert [line.text for line in newest] == [f"ERROR number {second}" for second in range(29, 19, -1)]
    assert newest[0].at is not None
    assert newest[0].at.second == 29
    assert lines.count == 30


def test_a_secret_that_a_cut_would_halve_is_masked_in_the_pattern_too() -> None:
    lines = ErrorLines(HOST, 4096)
    lines.add("pod", "", "ERROR " + "x" * 270 + " postgresql://ada:hunter2hunter2hunter2hunter2@db/app")
    assert "hunter2" not in lines.patterns()[0].text + lines.newest()[0].text


def test_what_is_shown_is_one_line_without_control_characters_and_cut() -> None:
    assert shown("a\x1b[31mb\x00", 80) == "a·[31mb·"
    assert len(shown("x" * 100_000, 80)) == 80
