"""Kubernetes label selectors: ``a=b``, ``a==b``, ``a!=b``, ``a``, ``!a``, ``a in (b,c)``, ``a notin (b)``."""

import re
from collections.abc import Mapping

_TERMS = re.compile(r",(?![^(]*\))")
_SET = re.compile(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)")


def selects(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether ``labels`` meet every term of ``selector``; an empty selector selects everything."""
    return all(_holds(term.strip(), labels) for term in _TERMS.split(selector) if term.strip())


def _holds(term: str, labels: Mapping[str, str]) -> bool:
    if found := _SET.fullmatch(term):
        key, verb, values = found.groups()
        within = labels.get(key) in [value.strip() for value in values.split(",")]
        return within == (verb == "in")
    if "!=" in term:
        key, value = term.split("!=", 1)
        return labels.get(key.strip()) != value.strip()
    if "=" in term:
        key, value = term.replace("==", "=").split("=", 1)
        return labels.get(key.strip()) == value.strip()
    return (term.removeprefix("!").strip() in labels) != term.startswith("!")
