"""Twenty and more kinds of secrets as they stand in ordinary text; each holds MARK, in some case."""

MARK = "planted"
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
    "flag of a command": f"sh -c 'run --api-key {P} --verbose'",
    "Vault token": f"hvs.{P}",
}


def cut_at(most: int, text: str) -> str:
    """``text`` after so much that whoever cuts before masking keeps a beginning that looks like no secret."""
    shown = text.lower().find(MARK) + len(MARK)
    return "x" * (most - shown - 2) + " " + text
