"""What the public sees at a moment, read from the store."""

from collections.abc import Sequence

from bot.domain.publication import PublicView, component_states
from bot.ports import Publications

# How many ended incidents the first page lists; more open ones than that nobody would read.
LISTED = 200


async def public_view(store: Publications, components: Sequence[str]) -> PublicView:
    """All open incidents and the newest ended ones. Raises StoreError."""
    held = {one.slug: one for one in await store.public_incidents(open_only=True, limit=LISTED)}
    held |= {one.slug: one for one in await store.public_incidents(limit=LISTED)}
    newest = sorted(held.values(), key=lambda one: (one.began_at, one.incident), reverse=True)
    return PublicView(states=component_states(components, newest), incidents=tuple(newest))
