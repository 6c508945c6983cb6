"""What the public sees at a moment, read from the store."""

from collections.abc import Sequence

from bot.domain.publication import PublicView, component_states
from bot.ports import Publications

# How many ended incidents the first page lists.
LISTED = 200
# More than that are not open at once, on a page that anybody reads.
_OPEN = 500


async def public_view(store: Publications, components: Sequence[str]) -> PublicView:
    """All open incidents and the newest ended ones. Raises StoreError."""
    opened = await store.public_incidents(open_only=True, limit=_OPEN)
    # so many more, since the open ones are among them
    ended = [one for one in await store.public_incidents(limit=LISTED + len(opened)) if not one.open][:LISTED]
    held = {one.slug: one for one in (*ended, *opened)}
    newest = sorted(held.values(), key=lambda one: (one.began_at, one.incident), reverse=True)
    return PublicView(states=component_states(components, newest), incidents=tuple(newest))
