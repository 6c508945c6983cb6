"""Slack's mrkdwn on the sandbox's page: what is meant is shown, and what people wrote stays text."""

import pytest

from bot.sandbox.mrkdwn import to_html


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*bold* and _soft_", "<strong>bold</strong> and <em>soft</em>"),
        ("ask <@U0COMMANDER> or <@U0NAMELESS>", "ask @Chris or @U0NAMELESS"),
        ("<!subteam^S0ONCALL|@on-call> in <#C0INCIDENTS|incidents>", "@on-call in incidents"),
        ("due <!date^1764000000^{time}|16:00>", 'due <time data-at="1764000000" data-form="{time}">16:00</time>'),
        (
            "<!here> *<!date^1^{date}|1 Jan>*",
            '@here <strong><time data-at="1" data-form="{date}">1 Jan</time></strong>',
        ),
        (
            "<https://example.com/?a=1&amp;b=2>",
            '<a href="https://example.com/?a=1&amp;b=2" rel="noreferrer">https://example.com/?a=1&amp;b=2</a>',
        ),
        ("&gt; said\n&gt; twice\nand ~not~ on", "<blockquote>said<br>twice</blockquote>and <s>not</s> on"),
        ("<https://example.com/a|the log>", '<a href="https://example.com/a" rel="noreferrer">the log</a>'),
        ("&lt;@U0COMMANDER&gt; &lt;b&gt;", "&lt;@U0COMMANDER&gt; &lt;b&gt;"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        (":pushpin: `a*b*c`", "📌 <code>a*b*c</code>"),
    ],
)
def test_markup_is_shown_and_text_stays_text(text: str, shown: str) -> None:
    assert to_html(text) == shown
