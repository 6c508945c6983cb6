"""What a remedy is given, and what it plans; the mitigation handler carries the plan out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from bot.domain.changes import Change
from bot.domain.workload import KeyReference
from bot.ports.upstreams import ProbeRun


@dataclass(frozen=True, kw_only=True)
class Argument:
    """Something that a person may fill in; ``usual`` is what the form shows first, and what is meant by nothing."""

    name: str
    label: str
    usual: str = ""
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What a remedy plans with: the target as it is. ``arguments`` are what a person has filled in."""

    run: ProbeRun
    deployment: Mapping[str, Any]
    replica_sets: Sequence[Mapping[str, Any]]
    """The deployment's own, by its selector."""
    arguments: Mapping[str, str]
    stamp: str
    """The time of the request (RFC 3339), for what carries one: the same whenever it is planned again."""


NOTHING_ASKED: Mapping[str, str] = MappingProxyType({})


class Remedy(Protocol):
    """One remedy. Each file in ``mitigations/`` ends in ``MITIGATION``, one of these."""

    @property
    def name(self) -> str:
        """As in decision-table.md; the YAML file's own remedies are called as it says."""

    @property
    def what(self) -> str:
        """What it does, in half a sentence, such as ``queues requests above the limit``."""

    @property
    def temporary(self) -> bool:
        """Whether somebody has to take it back when the incident is over, as it is usually asked for."""

    def temporary_with(self, arguments: Mapping[str, str]) -> bool:
        """The same as it is asked for now: turned off, a fallback leaves nothing behind. Raises as ``checked``."""

    @property
    def reverts_itself(self) -> bool:
        """Whether the bot takes it back by itself where it fails or makes things worse."""

    @property
    def shields(self) -> bool:
        """Whether it protects users from a fault that stays: the provider's own probes do not judge it."""

    @property
    def arguments(self) -> Sequence[Argument]: ...

    def checked(self, arguments: Mapping[str, str]) -> Mapping[str, str]:
        """The arguments as they may be stored and shown: without white space and blanks.

        Raises Refusal, which quotes nothing of them, for what cannot be right; so a key that was put into the wrong
        field goes nowhere.
        """

    async def plan(self, ask: Ask) -> Sequence[Change]:
        """What would be changed; never changes anything. Raises Refusal and UpstreamError."""

    def commands(
        self,
        namespace: str,
        deployment: str,
        changes: Sequence[Change],
        *,
        usual: KeyReference | None = None,
        asked: Mapping[str, str] = NOTHING_ASKED,
    ) -> Sequence[str]:
        """The same by kubectl, each a line to paste. ``changes`` empty: the cluster was not reached; the usual ones.

        For the usual ones ``usual`` is where the settings say that Mistral's key is, and ``asked`` the arguments.
        """
