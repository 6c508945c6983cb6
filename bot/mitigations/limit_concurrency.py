"""Fewer requests at the same time: below a rate limit, or within a pod's memory."""

from bot.domain.remedies import ENV_REMEDIES, RemedyName
from bot.mitigations._env import EnvRemedy

MITIGATION = EnvRemedy(name=RemedyName.LIMIT_CONCURRENCY, spec=ENV_REMEDIES[RemedyName.LIMIT_CONCURRENCY])
