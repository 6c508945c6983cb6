"""Queues what is above the rate limit, so that users wait instead of failing."""

from bot.domain.remedies import ENV_REMEDIES, RemedyName
from bot.mitigations._env import EnvRemedy

MITIGATION = EnvRemedy(name=RemedyName.RATE_LIMIT_QUEUE, spec=ENV_REMEDIES[RemedyName.RATE_LIMIT_QUEUE])
