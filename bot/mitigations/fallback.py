"""Serves users without Mistral while it is away."""

from bot.domain.remedies import ENV_REMEDIES, RemedyName
from bot.mitigations._env import EnvRemedy

MITIGATION = EnvRemedy(name=RemedyName.FALLBACK, spec=ENV_REMEDIES[RemedyName.FALLBACK])
