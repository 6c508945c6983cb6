"""Waits longer, where Mistral answers late."""

from bot.domain.remedies import ENV_REMEDIES, RemedyName
from bot.mitigations._env import EnvRemedy

MITIGATION = EnvRemedy(name=RemedyName.RAISE_TIMEOUT, spec=ENV_REMEDIES[RemedyName.RAISE_TIMEOUT])
