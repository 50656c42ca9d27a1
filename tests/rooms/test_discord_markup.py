"""Rich text as Discord's Markdown: what is text stays text, and nothing is longer than a message."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.channels.cutting import utf16
from dagi.channels.discord.markup import CONTENT_UNITS, contents
from dagi.channels.rich import literal

# What people and models write, markup of every kind among it.
WORDS = st.text(alphabet=st.sampled_from(list("ab й🐝 \n\t*_~`|<>[]()#-+>@!.:/\\1&")), max_size=300)


def read(content: str) -> str:
    """What Discord shows of escaped text."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", content)


@pytest.mark.parametrize(
    ("markdown", "content"),
    [
        ("# Title\n\ntext", "**Title**\n\ntext"),
        ("**bold** *it* ***both*** ~~gone~~", "**bold** *it* ***both*** ~~gone~~"),
        ("2*3*4 and a_b_c", "2\\*3\\*4 and a\\_b\\_c"),
        ("||spoiler|| <@1> <#2> <t:1:R> @everyone", "\\|\\|spoiler\\|\\| \\<@1\\> \\<#2\\> \\<t:1:R\\> @everyone"),
        ("\\# no heading\n\\- no list\n-# no small print", "\\# no heading\n\\- no list\n\\-# no small print"),
        ("- one\n- two\n  - three", "• one\n• two\n   • three"),
        ("> said\n> twice\n\nafter", "> said\n> twice\n\nafter"),
        ("```py\nprint(1)\n```", "```py\nprint(1)\n```"),
        ("`code` and ``a`b``", "`code` and `` a`b ``"),
        ("[here](https://dao.example/a_b?c=(d))", "[here](<https://dao.example/a_b?c=%28d%29>)"),
        ("[https://bank.example](https://evil.example)", "<https://bank.example> (<https://evil.example>)"),
        ("see https://dao.example/a_b_c.", "see <https://dao.example/a_b_c>."),
        ("[x](javascript:alert)", "\\[x\\](javascript:alert)"),
        ("**a***b*", "**a**\u200b*b*"),
        ("", ""),
    ],
)
def test_markdown_becomes_what_discord_renders(markdown: str, content: str) -> None:
    assert "".join(contents(markdown)) == content


def test_a_fence_within_code_does_not_end_it() -> None:
    (content,) = contents("````\n```\n@everyone **x**\n````")
    assert content.count("```") == 2
    assert content.startswith("```\n")
    assert content.endswith("\n```")


@given(WORDS)
def test_text_that_stands_for_itself_is_shown_as_it_was_written(text: str) -> None:
    plain = re.sub(r"https?://\S*", "", text)
    shown = "".join(read(content) for content in contents(literal(plain)))
    assert re.sub(r"[\s\u200b•]+", "", shown) == re.sub(r"[\s\u200b•]+", "", plain)


@given(st.lists(WORDS, max_size=40).map("\n\n".join))
def test_no_content_is_blank_or_longer_than_a_message_may_be(markdown: str) -> None:
    for content in contents(markdown):
        assert content.strip()
        assert utf16(content) <= CONTENT_UNITS


@given(st.integers(1, 40), st.integers(1, 3000), st.sampled_from(["a", "\u2003", "("]))
def test_links_with_long_addresses_fit_in_messages(count: int, size: int, letter: str) -> None:
    found = contents("".join(f"[word{number}](<https://x.example/{letter * size}>)" for number in range(count)))
    assert all(utf16(content) <= CONTENT_UNITS for content in found)
    assert all(f"word{number}" in "".join(found) for number in range(count)) or size > 100


@given(st.integers(1, 6000), st.sampled_from(["*", "_", "`", "\\", "<", "🐝", "a "]))
def test_many_marks_need_more_messages_and_lose_nothing(count: int, mark: str) -> None:
    found = contents(literal(mark * count))
    assert "".join(read(content) for content in found).count(mark.strip()) == count
    assert all(utf16(content) <= CONTENT_UNITS for content in found)
