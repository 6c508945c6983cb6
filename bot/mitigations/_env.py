"""A remedy that sets one environment variable of the service; which one and to what are settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.domain.changes import Change, EnvChange
from bot.domain.incident import Refusal
from bot.domain.objects import Object, each, within
from bot.domain.redaction import MASK, redact
from bot.domain.remedies import EnvSpec
from bot.domain.workload import KeyReference, containers, key_containers, key_reference, shown_value, template
from bot.mitigations._kubectl import line, lines, watched
from bot.mitigations._rollout import filled_in, must_roll_out
from bot.ports import NOTHING_ASKED, Argument, Ask
from bot.settings import Kubernetes

_VALUE = "value"
_ON, _OFF = "on", "off"
# As long as the largest number that is asked for may be.
_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class EnvRemedy:
    name: str
    spec: EnvSpec
    reverts_itself: bool = True

    @property
    def what(self) -> str:
        return self.spec.what

    @property
    def temporary(self) -> bool:
        return self.spec.temporary

    @property
    def shields(self) -> bool:
        return self.spec.shields

    @property
    def arguments(self) -> Sequence[Argument]:
        spec = self.spec
        if spec.off is not None:
            hint = f"{_ON} sets {spec.variable} to {spec.value}, {_OFF} to {spec.off}"
            return (Argument(name=_VALUE, label=f"{_ON} or {_OFF}", usual=_ON, hint=hint),)
        if self._bounded:
            return (Argument(name=_VALUE, label=spec.variable, usual=spec.value, hint=self._bounds()),)
        return ()

    def temporary_with(self, arguments: Mapping[str, str]) -> bool:
        """What turns it off leaves nothing behind that somebody has to take back."""
        return self.spec.temporary and self.checked(arguments).get(_VALUE) != _OFF

    def checked(self, arguments: Mapping[str, str]) -> Mapping[str, str]:
        spec, held = self.spec, filled_in(self.name, arguments, [_VALUE])
        asked = held.get(_VALUE)
        if asked is None:
            return {}
        if spec.off is not None:
            known = {spec.off.lower(): _OFF, spec.value.lower(): _ON, _ON: _ON, _OFF: _OFF}
            if asked.lower() not in known:
                raise Refusal(f"{self.name} is turned {_ON} or {_OFF}.")
            return {_VALUE: known[asked.lower()]}
        if self._bounded:
            return {_VALUE: self._number(asked)}
        if asked != spec.value:
            raise Refusal(f"{self.name} sets {spec.variable} to {spec.value}, and to nothing else.")
        return {}

    @property
    def _bounded(self) -> bool:
        return self.spec.least is not None and self.spec.most is not None

    def _bounds(self) -> str:
        return f"a whole number from {self.spec.least} to {self.spec.most}{self.spec.unit and ' ' + self.spec.unit}"

    def _number(self, asked: str) -> str:
        number = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) <= _DIGITS else None
        if number is None or not (self.spec.least or 0) <= number <= (self.spec.most or 0):
            raise Refusal(f"{self.name} takes {self._bounds()}.")
        return str(number)

    async def plan(self, ask: Ask) -> Sequence[Change]:
        must_roll_out(ask)
        value = self._value(ask.arguments)
        chosen = self._chosen(ask.deployment, ask.run.target.kubernetes)
        changes = [change for one in chosen if (change := self._change(one, value)) is not None]
        if not changes:
            raise Refusal(f"{self.spec.variable} is {value} already.")
        return tuple(changes)

    def _value(self, arguments: Mapping[str, str]) -> str:
        asked = self.checked(arguments).get(_VALUE, self.spec.value)
        if self.spec.off is None:
            return asked
        return self.spec.off if asked == _OFF else self.spec.value

    def _chosen(self, deployment: Object, place: Kubernetes) -> list[Object]:
        """The containers that have the variable; else those that talk to Mistral, by the key; else all."""
        held = containers(template(deployment), init=False)
        if not held:
            raise Refusal("The deployment has no containers.")
        having = [one for one in held if any(entry.get("name") == self.spec.variable for entry in each(one, "env"))]
        reference: KeyReference | None = key_reference(deployment, place.secret, place.secret_key)
        keyed = key_containers(deployment, reference)
        return having or [one for one in held if one.get("name") in keyed] or held

    def _change(self, container: Object, value: str) -> EnvChange | None:
        """None: it is so already. Raises Refusal where the change could not be shown, or not be taken back."""
        name, where = self.spec.variable, str(container.get("name"))
        entries = [dict(entry) for entry in each(container, "env") if entry.get("name") == name]
        if len(entries) > 1:
            raise Refusal(f"Container {where} sets {name} {len(entries)} times; leave one of them first.")
        before, after = entries[0] if entries else None, {"name": name, "value": value}
        if before == after:
            return None
        if before is not None:
            self._may_replace(before, where, value)
        return EnvChange(container=where, name=name, before=before, after=after)

    def _may_replace(self, before: Object, where: str, value: str) -> None:
        name, shown, held = self.spec.variable, shown_value(before), str(before.get("value", ""))
        # what is shown is cut, and a secret may stand behind the cut
        if MASK in shown or redact(held) != held or within(before, "valueFrom", "secretKeyRef"):
            raise Refusal(
                f"{name} of container {where} holds what looks like a secret, which the bot neither keeps nor shows; "
                "change it by kubectl, or name another variable in `remedies:`."
            )
        number = int(held) if held.isascii() and held.isdecimal() and len(held) <= _DIGITS else None
        if self.spec.only_up and number is not None and value.isdecimal() and number >= int(value):
            raise Refusal(f"{name} is {shown} already, which is more than {value}; ask for a higher value.")

    def commands(
        self,
        namespace: str,
        deployment: str,
        changes: Sequence[Change],
        *,
        usual: KeyReference | None = None,
        asked: Mapping[str, str] = NOTHING_ASKED,
    ) -> Sequence[str]:
        if changes:
            return lines(namespace, deployment, changes)
        set_env = ("set", "env", f"deployment/{deployment}", f"{self.spec.variable}={self._value(asked)}")
        return (line(namespace, *set_env), watched(namespace, deployment))
