"""The doctor on Atlassian Statuspage."""

from pathlib import Path

from aiohttp import web

from bot.checks.statuspage import CHECK
from tests.doctors import examined, lines
from tests.statuspages.statuspage import KEY, PAGE, Statuspage, statuspage


async def asked(remote: Statuspage, folder: Path, **environ: str) -> list[tuple[bool, str]]:
    path = folder / "bot.yaml"
    path.write_text("components: [Chat, Search]")
    held = {"STATUSPAGE_API_KEY": KEY, "STATUSPAGE_PAGE_ID": PAGE, "STATUSPAGE_API_URL": remote.url}
    return lines(await examined(CHECK, {**held, "MISTRAL_BOT_CONFIG": str(path), **environ}))


async def test_a_page_that_answers_and_has_all_components_is_ok(tmp_path: Path) -> None:
    async with statuspage("Chat", "Search", "Billing") as remote:
        assert await asked(remote, tmp_path) == [(True, "page: answers, 3 components")]


async def test_components_that_the_page_lacks_are_named(tmp_path: Path) -> None:
    async with statuspage("Chat") as remote:
        assert await asked(remote, tmp_path) == [(False, "components: the page has no component called Search")]


async def test_a_key_that_is_not_taken_and_a_page_that_is_not_there_are_told(tmp_path: Path) -> None:
    async with statuspage() as remote:
        remote.refuse = lambda _: web.json_response({}, status=401)
        assert await asked(remote, tmp_path) == [(False, "page: no usable answer (401)")]
    assert await asked(remote, tmp_path) == [(False, "page: no usable answer (connect)")]


async def test_without_it_nothing_is_asked_and_half_of_it_is_told(tmp_path: Path) -> None:
    assert await examined(CHECK, {}) == ()
    half = await examined(CHECK, {"STATUSPAGE_API_KEY": KEY})
    assert lines(half) == [(False, "settings: STATUSPAGE_PAGE_ID is not set")]
