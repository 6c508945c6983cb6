"""Whole incidents in a real browser, through the sandbox's page alone, from the triage to the postmortem."""

import re

import pytest
from playwright.async_api import expect

from bot.sandbox.story import load_stories
from tests.stories.visitor import ADA, ROBIN, Visitor, visiting

DRILLED = load_stories()["rate limited by a surge"]
pytestmark = pytest.mark.timeout(400)


async def declared(visitor: Visitor, story: str, cause: str, *, closely: bool = False) -> None:
    await visitor.choose(story)
    await visitor.look("chosen")
    await visitor.say("/mistral triage")
    await visitor.sees(cause)
    await visitor.look("triaged", closely=closely)
    await visitor.press("Declare an incident")
    await expect(visitor.modal.get_by_label("What is wrong?")).not_to_have_value("")
    await visitor.look("declaring", closely=closely)
    await visitor.send("Declare")
    await visitor.closed()
    await visitor.sees("Next update:")
    await visitor.look("declared")


async def mitigated(visitor: Visitor, button: str, **fields: str) -> None:
    """Asked for by Robin, approved by Ada; the deployment has a new revision, and the errors end."""
    revision = visitor.watch.locator("th").first
    before = await revision.inner_text()
    await visitor.press(button)
    await visitor.send("Make the preview", Why="users see errors", **fields)
    await visitor.closed()
    await visitor.sees(re.compile("waits for approval"))
    await visitor.look("proposed")
    await visitor.be(ADA)
    await visitor.press("Approve", sure=True)
    await visitor.sees(re.compile("The remedy helps|The service is well"), visitor.watch)
    await expect(revision).not_to_have_text(before)
    await expect(visitor.watch.locator(".pod.unready")).to_have_count(0)
    await expect(visitor.watch.locator(".ratio strong")).to_have_text("0.0 %")
    await visitor.look("rolled-out")
    await visitor.move("5 min")
    await visitor.sees(re.compile(": fixed"))
    await visitor.look("fixed")
    await visitor.be(ROBIN)


async def published(visitor: Visitor) -> None:
    await visitor.say("/mistral publish")
    await visitor.send("Preview", Status_on_the_page="Monitoring")
    await expect(visitor.modal.get_by_role("button", name="Send")).to_be_visible()
    await visitor.look("publishing")
    await visitor.send("Send")
    await visitor.closed()
    await visitor.sees(re.compile("Outage|Degraded|Minor|Partial"), visitor.watch)
    async with visitor.page.context.expect_page() as opened:
        await visitor.watch.get_by_role("link", name="Open it").click()
    page = await opened.value
    await expect(page.get_by_text("Monitoring").first).to_be_visible()
    await page.close()


async def reverted(visitor: Visitor) -> None:
    """Resolving is held up by what is temporary; it is taken back, as it was put there."""
    await visitor.say("/mistral resolve")
    await visitor.sees(re.compile("Revert or keep them first"), visitor.modal)
    await visitor.look("held-up")
    await visitor.page.locator("#modal-close").click()
    await visitor.press("Revert")
    await visitor.send("Make the preview", Why="it is over")
    await visitor.closed()
    await visitor.sees(re.compile("revert of .*waits for approval"))
    await visitor.be(ADA)
    await visitor.press("Approve", sure=True)
    await visitor.sees(re.compile("It is as it was before"))
    await visitor.be(ROBIN)


async def resolved(visitor: Visitor) -> None:
    await visitor.say("/mistral resolve")
    await visitor.send("Resolve", Why="It is over", Who="Robin")
    await expect(visitor.modal.get_by_role("button", name="Send")).to_be_visible()
    await visitor.look("resolving")
    await visitor.send("Send")
    await visitor.closed()
    await visitor.sees(re.compile("is resolved"))
    await visitor.look("resolved")


async def read(visitor: Visitor) -> None:
    """The postmortem, and the evidence's index."""
    await visitor.say("/mistral postmortem")
    await expect(visitor.modal.locator("form")).to_be_visible()
    await visitor.look("postmortem")
    await visitor.page.locator("#modal-close").click()
    await visitor.closed()
    async with visitor.page.context.expect_page() as opened:
        await visitor.channel.get_by_role("link", name="Open its index").last.click()
    index = await opened.value
    await expect(index.get_by_role("heading", level=1)).to_contain_text("INC-1")
    await index.close()


async def ended(visitor: Visitor, *, after: tuple[str, ...] = ()) -> None:
    """To the end of the incident; ``after`` the time in which it is over by itself what is temporary is taken back."""
    await published(visitor)
    if after:
        for span in after:
            await visitor.move(span)
        await visitor.sees("It is over by itself.", visitor.watch)
        await reverted(visitor)
    await resolved(visitor)
    await read(visitor)
    await visitor.press_what_is_left()


async def test_a_newcomer_deals_with_a_rate_limit() -> None:
    async with visiting("rate-limited") as visitor:
        await declared(visitor, "rate limited", "rate_limited", closely=True)
        await visitor.move("15 min")
        await visitor.move("15 min")
        await visitor.sees(re.compile("The update of INC-1 was due"))
        await visitor.go("Messages")
        await visitor.sees(re.compile("an update is due"))
        await visitor.look("reminded")
        await visitor.go("#incidents")
        await mitigated(visitor, "Rate limit queue")
        await expect(visitor.watch.locator(".changed")).to_have_text(re.compile("RATE_LIMIT_MODE.*queue", re.DOTALL))
        await ended(visitor, after=("1 h",))


async def test_a_bad_release_is_rolled_back() -> None:
    async with visiting("bad-release") as visitor:
        await declared(visitor, "bad release", "bad_release")
        await mitigated(visitor, "Rollback")
        await ended(visitor)


async def test_a_revoked_key_is_replaced_by_the_one_that_waits() -> None:
    async with visiting("key-revoked") as visitor:
        await declared(visitor, "key revoked", "invalid_key")
        await mitigated(visitor, "Rotate key", Secret="mistral-secrets-new")
        await ended(visitor)


async def test_the_provider_is_down_and_comes_back() -> None:
    async with visiting("provider-down") as visitor:
        await declared(visitor, "provider down", "provider_outage")
        await mitigated(visitor, "Fallback")
        await ended(visitor, after=("1 h", "1 h"))


async def test_slack_goes_away_in_the_middle_and_nothing_is_lost() -> None:
    async with visiting("slack-away") as visitor:
        await declared(visitor, "Slack goes away in the middle", "rate_limited")
        await visitor.move("5 min")
        await visitor.sees("Slack is away: nothing that anybody writes arrives")
        await visitor.say("/mistral note written into the void")
        await visitor.sees("Slack is down", visitor.page.locator("#state"))
        await visitor.look("away")
        await visitor.move("5 min")
        await expect(visitor.channel.locator(".banner")).to_have_count(0)
        await visitor.say("/mistral note Slack was away")
        await visitor.sees("It is in the timeline of INC-1.")
        await visitor.move("15 min")
        await visitor.move("15 min")
        await visitor.sees(re.compile("The update of INC-1 was due"))
        await mitigated(visitor, "Limit concurrency")
        await ended(visitor, after=("1 h",))


async def test_a_drill_ends_with_a_score_and_a_postmortem() -> None:
    async with visiting("drill") as visitor:
        controls = visitor.page.locator("#controls")
        await controls.get_by_role("button", name="Drill: a surprise").click()
        await visitor.sees("A drill is on.", controls)
        await controls.get_by_role("button", name="End the drill").click()
        await visitor.sees("wrong remedies tried", visitor.watch)
        assert await visitor.watch.locator("#score dd").all_inner_texts() == [*["not done"] * 4, "0 of 0", "none"]
        await visitor.choose(DRILLED.name)
        await controls.get_by_role("button", name="Drill: this one").click()
        await visitor.sees("A drill is on.", controls)
        await expect(visitor.page.get_by_label("What happens")).to_have_count(0)
        await visitor.go("#general")
        await visitor.sees(re.compile("Support here:"))
        await visitor.look("drill")
        await visitor.go("#incidents")
        await visitor.say("/mistral triage")
        await expect(visitor.channel.get_by_role("button", name="Declare an incident")).to_be_visible()
        await visitor.press("Declare an incident")
        await expect(visitor.modal.get_by_label("What is wrong?")).not_to_have_value("")
        await visitor.send("Declare")
        await visitor.closed()
        await visitor.sees("Next update:")
        # a wrong one first
        for remedy, ends in (("raise_timeout", "no effect"), ("limit_concurrency", "fixed")):
            await visitor.say(f"/mistral mitigate {remedy}")
            await visitor.send("Make the preview", Why="a drill")
            await visitor.closed()
            await visitor.be(ADA)
            await visitor.press("Approve", sure=True)
            await visitor.sees(re.compile(f"{remedy} for INC-1: is rolled out"))
            # as long as a rollout and its verification may take together
            await visitor.move("15 min")
            await visitor.move("15 min")
            await visitor.sees(re.compile(f"{remedy} for INC-1: ({ends})"))
            await visitor.be(ROBIN)
        await visitor.page.get_by_role("button", name="End the drill").click()
        score = visitor.watch.locator("#score")
        await visitor.sees("wrong remedies tried", score)
        await visitor.look("score")
        terms, figures = await score.locator("dt").all_inner_texts(), await score.locator("dd").all_inner_texts()
        told = dict(zip(terms, figures, strict=True))
        assert told["declared after"] == told["diagnosed after"] == "less than a minute"
        assert told["mitigated after"].endswith("min")
        assert told["resolved after"] == "not done"
        assert told["wrong remedies tried"] == "raise_timeout"
        assert re.fullmatch(r"\d of [1-9]", told["updates in time"])
        async with visitor.page.context.expect_page() as opened:
            await visitor.watch.get_by_role("link", name="The postmortem to practise on").click()
        await expect((await opened.value).get_by_text("INC-1").first).to_be_visible()
