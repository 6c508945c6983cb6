"""Messages: outside text is text, Slack's limits are kept, and what does not fit is handed back whole."""

from pathlib import Path

import pytest

from bot.domain.diagnosis import diagnose
from bot.domain.signals import Finding, LogLine, LogPattern, Logs, ProbeName, Verdict
from bot.errors import TemplateError
from bot.ports import Reply
from bot.render import SECTION, Message, Renderer
from bot.sandbox.slack.limits import blocks_of
from tests.domain.cases import NOW, world

HOSTILE = "<!channel> <@U012> <https://evil|ok> & \"quotes\" 'single' ` ``` * \u202e\x00\x07 \n{{ 7*7 }} {% raw %}"


def card(summary: str, *, target: str = "") -> Message:
    findings = [Finding(probe=ProbeName.PODS, verdict=Verdict.BAD, summary=summary), *world()[:3]]
    found = diagnose(findings, NOW)
    context = {
        "target": target,
        "diagnosis": found,
        "findings": findings,
        "duration_ms": 3,
        "way": found.way,
        "kept": "abc",
    }
    return Renderer().message(Reply(template="triage", context={**context, "kept": "abc"}))


def test_hostile_text_stays_text() -> None:
    message = card(HOSTILE, target=HOSTILE)
    everything = str(message.blocks)
    assert "<!channel>" not in everything
    assert "<@U012>" not in everything
    assert "<https" not in everything
    assert "\u202e" not in everything
    assert "&lt;!channel&gt;" in everything
    assert "{{ 7*7 }}" in everything
    assert blocks_of({"blocks": message.blocks}) == message.blocks


def test_what_is_too_long_is_cut_with_a_mark_and_the_rest_is_handed_back_whole() -> None:
    words = " ".join(f"word{n}" for n in range(20_000))
    message = card(words)
    texts = [block["text"]["text"] for block in message.blocks if block["type"] == "section"]
    assert all(len(text) <= SECTION for text in texts)
    posted = Renderer().rest(message.overflow)
    whole = "".join(texts).replace("…", "") + "".join(b["text"]["text"] for blocks in posted for b in blocks)
    assert all(f"word{n}" in whole for n in (0, 300, 10_000, 19_999))
    for blocks in posted:
        assert blocks_of({"blocks": blocks}) == blocks


def test_a_cut_never_splits_an_escape() -> None:
    message = card("<" * 10_000)
    for block in message.blocks:
        text = block.get("text", {}).get("text", "")
        assert text.replace("&lt;", "").count("&") == text.replace("&lt;", "").count("&amp;") + text.replace(
            "&lt;", ""
        ).count("&gt;")


def test_log_excerpts_cannot_end_their_own_code_block() -> None:
    logs = Logs(
        lines=100,
        error_lines=30,
        by_kind={"429": 30},
        pods=3,
        patterns=(LogPattern(count=30, text="``` <!channel> `x`"),),
        newest=(LogLine(pod="p", text="```" + "x" * 5000),) * 10,
    )
    message = Renderer().message(Reply(template="triage_logs", context={"logs": logs}))
    for block in message.blocks:
        if block["type"] == "section":
            assert block["text"]["text"].count("```") in (0, 2)


@pytest.mark.parametrize(
    "template", ["{{ missing }}", "{% if %}", "not json", '{"type": "section"}', '{"type": "rubbish"}', ""]
)
def test_a_template_that_makes_no_message_is_told(template: str, tmp_path: Path) -> None:
    (tmp_path / "slack").mkdir()
    (tmp_path / "slack" / "help.j2").write_text(template)
    with pytest.raises(TemplateError, match=r"slack/help\.j2"):
        Renderer(tmp_path).message(Reply(template="help", context={"targets": ()}))


def test_an_operators_folder_is_looked_in_first(tmp_path: Path) -> None:
    (tmp_path / "slack").mkdir()
    (tmp_path / "slack" / "sentence.j2").write_text(
        '{% import "slack/_blocks.j2" as b %}{% call b.section() %}ours: {{ sentence }}{% endcall %}'
    )
    message = Renderer(tmp_path).message(Reply(template="sentence", context={"sentence": "x"}))
    assert message.text == "ours: x"


@pytest.mark.parametrize("filters", ["mentions", "fits(200) | mentions"])
def test_people_groups_and_channels_are_shown_by_name_and_nothing_else_is_let_through(
    filters: str, tmp_path: Path
) -> None:
    (tmp_path / "slack").mkdir()
    (tmp_path / "slack" / "sentence.j2").write_text(
        '{% import "slack/_blocks.j2" as b %}{% call b.section() %}{{ sentence | ' + filters + " }}{% endcall %}"
    )
    sentence = "<@U0ADA> <#C0HERE> <!subteam^S0ONCALL> <!channel> <https://a|b> <@nobody> & <b>"
    message = Renderer(tmp_path).message(Reply(template="sentence", context={"sentence": sentence}))
    assert message.text == (
        "<@U0ADA> <#C0HERE> <!subteam^S0ONCALL> &lt;!channel&gt; &lt;https://a|b&gt; &lt;@nobody&gt; &amp; &lt;b&gt;"
    )


def test_the_texts_of_updates_are_plain_and_an_operators_own_are_taken_first(tmp_path: Path) -> None:
    folder = tmp_path / "updates"
    folder.mkdir()
    (folder / "title.j2").write_text("{# ours #}\n  Trouble & <{{ name }}>  \n\n")
    assert Renderer(tmp_path).text("updates/title.j2", {"name": "it's"}) == "Trouble & <it's>"
    (folder / "title.j2").write_text("{{ missing }}")
    with pytest.raises(TemplateError, match=r"updates/title\.j2"):
        Renderer(tmp_path).text("updates/title.j2", {})
