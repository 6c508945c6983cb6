"""What a bundle must not hold, planted as it stands in logs, YAML, JSON, URLs and headers; and what must stay as it is.

The secrets are put together here and look made up, so that nobody who scans this file is alarmed.
"""

from bot.domain.redaction import kinds
from tests.planted import PLANTED, P

_HEX = "c0ffee" * 6
_UPPER = "PLANTED0" * 4
MARKS = (P, "AKIAPLANTED", _HEX[:24], _UPPER)
# Those that are told by their own look, each in another place.
_TOKENS = {
    "Grafana": f"glsa_{P}_1",
    "Atlassian": f"ATATT3x{P}",
    "New Relic": f"NRAK-{_UPPER[:27]}",
    "DigitalOcean": f"dop_v1_{_HEX}",
    "Databricks": f"dapi{_HEX[:32]}",
    "Shopify": f"shpat_{_HEX[:32]}",
    "Telegram": f"123456789:AA{P}xxxxxx",
    "Postman": f"PMAK-{_HEX[:24]}-{_HEX[:34]}",
    "Linear": f"lin_api_{P}",
    "Docker": f'{{"auths": {{"r.example.com": {{"auth": "{P}=="}}}}}}',
    "age": f"AGE-SECRET-KEY-1{_UPPER}",
    "PGP": f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{P}\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----",
    "PyPI": f"pypi-{P}",
    "GitHub fine-grained": f"github_pat_{P}",
    "Hugging Face": f"hf_{P}",
    "Vault batch": f"hvb.{P}",
    "Twilio": f"SK{_HEX[:32]}",
    "Anthropic": f"sk-ant-api03-{P}",
    "Stripe restricted": f"rk_live_{P}",
    "GitLab deploy": f"gldt-{P}",
}
_PLACES = {
    "YAML over two lines": f"password:\n  {P}",
    "YAML list": f"- name: DB_PASSWORD\n  db_password: {P}",
    "JSON over lines": f'{{\n "client_secret": "{P}",\n "id": 1\n}}',
    "header in a log": f'> headers={{"Authorization": "Bearer {P}", "Accept": "*/*"}}',
    "two headers": f"Authorization: Bearer {P}\nCookie: a={P}; b={P}",
    "logfmt": f'level=info msg="called" token={P} took=3ms',
    "query in an access log": f'10.0.0.1 - - "GET /cb?access_token={P}&state=1 HTTP/1.1" 302',
    "amqp URL": f"amqps://guest:{P}@mq.example.com:5671/prod",
    "redis URL": f"redis://:{P}@cache:6379/0",
    "environment dump": f"MISTRAL_API_KEY={P}\nPATH=/usr/bin\nSESSION_SECRET={P}",
    "Java property": f"spring.datasource.password={P}",
    "a map in Go": f"map[api_key:{P} user:ada]",
    "a dict in Python": f"{{'api_key': '{P}', 'n': 1}}",
    "quoted with spaces": f'passphrase: "{P} and {P}"',
    "curl": f"curl -H 'Authorization: Bearer {P}' https://api.example.com",
}
CORPUS = (*PLANTED.values(), *_TOKENS.values(), *_PLACES.values())
KINDS = frozenset(kinds())
ORDINARY = (
    "pod mistral-service-7d9f8b6c5-x2k4j is ready",
    "trace 4bf92f3577b34da6a3ce929d0e0e4736 span 00f067aa0ba902b7",
    'traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"',
    "id 123e4567-e89b-12d3-a456-426614174000",
    "image: registry.example.com/app@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "commit 1f0c2b3a4d5e6f708192a3b4c5d6e7f801234567",
    'resourceVersion: "1827364", uid: 3a1f0c2b-9f86-4d08-8188-4c7d659a2fea',
    "pod-template-hash: 7d9f8b6c5",
    "max_tokens=5 total_tokens: 512 prompt_tokens: 12",
    "x-ratelimit-remaining-tokens-month: 0",
    "ERROR mistral call failed: 401 Unauthorized",
    '  File "/app/service.py", line 12, in call\n    raise ApiError(429)',
    "at com.example.TokenBucket.take(TokenBucket.java:42)",
    "2026-11-25T09:00:00.123456789Z stderr F request took 1.234s",
    "eth0 02:42:ac:11:00:02 10.244.1.17/24 fe80::42:acff:fe11:2",
    "configMapRef: {name: mistral-config}",
    "kind: NetworkPolicy\nmetadata:\n  name: default-deny",
    "base64: bWlzdHJhbC1zZXJ2aWNl",
    "100 % of 4,096 requests; p99 = 0.31 s; $PATH and $(date)",
    "- [ ] task: rotate | review & <b>escalate</b>",
)
