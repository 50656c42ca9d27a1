"""A model's Markdown as messages: nothing lost, nothing too long, nothing that a platform could take for markup."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.catalogue.legible import legible
from dagi.channels.cutting import parts, utf16
from dagi.channels.rich import rich
from dagi.channels.telegram.markup import MessageEntity, texts

STYLED = (
    "word ",
    "**bold** ",
    "*it* ",
    "`code` ",
    "[a](https://b.c) ",
    "2*3*4 ",
    "~~no~~ ",
    "<b>tag</b>",
    "😀",
    "е\u0301",
    "👩\u200d👩\u200d👧",
)
BLOCKS = (
    "\n\n",
    "\n",
    "- item\n",
    "1. one\n",
    "> quote\n",
    "```py\nx = 1\n```\n",
    "# Head\n",
    "| a | b |\n|---|---|\n| 1 | 2 |\n",
    "***\n",
)
PIECES = st.lists(st.sampled_from(STYLED + BLOCKS), max_size=60).map("".join)


@given(PIECES | st.text(max_size=300), st.integers(min_value=16, max_value=200))
def test_parts_hold_the_whole_text_in_its_order_and_none_is_longer_than_it_may_be(markdown: str, limit: int) -> None:
    whole = rich(markdown)
    cut = parts(whole, limit)
    assert all(0 < utf16(part.text) <= limit for part in cut)
    assert "".join(filter(legible, "".join(part.text for part in cut))) == "".join(filter(legible, whole.text))
    for part in cut:
        assert all(0 <= span.start < span.end <= len(part.text) for span in part.spans)


@given(PIECES | st.text(max_size=300))
def test_what_a_style_covers_before_the_cut_it_covers_after_it(markdown: str) -> None:
    whole = rich(markdown)

    def covered(kind: str, pieces: list[object]) -> str:
        return "".join("".join(one.text[s.start : s.end].split()) for one in pieces for s in one.spans if s.style.kind == kind)

    for kind in ("bold", "code", "pre", "text_link"):
        assert covered(kind, parts(whole, 20)) == covered(kind, [whole])


@given(PIECES | st.text(max_size=300))
def test_entities_lie_within_their_message_and_count_as_telegram_does(markdown: str) -> None:
    for message in texts(markdown):
        units = len(message.text.encode("utf-16-le")) // 2
        assert units <= 4096
        assert all(one.offset >= 0 and one.length > 0 and one.offset + one.length <= units for one in message.entities)


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("2*3*4 = 24", "2*3*4 = 24"),
        ("<b>bold</b> & <script>", "<b>bold</b> & <script>"),
        ("- one\n- two\n  1. a\n  2. b", "• one\n• two\n   1. a\n   2. b"),
        ("3. c\n4. d", "3. c\n4. d"),
        ("> one\n> two\n\nthree", "one\ntwo\n\nthree"),
        ("a  \nb", "a\nb"),
        ("| a | b |\n|---|---|\n| 1 | **2** |", "a │ b\n──┼──\n1 │ 2"),
        ("![tomato](https://x.y/z.png)", "tomato"),
        ("snake_case_name", "snake_case_name"),
        ("", ""),
    ],
)
def test_markdown_becomes_the_text_people_read(markdown: str, text: str) -> None:
    assert rich(markdown).text == text


@pytest.mark.parametrize("url", ["javascript:alert(1)", "tg://user?id=1", "file:///etc/passwd", "data:text/html,x"])
def test_only_addresses_of_the_web_become_links(url: str) -> None:
    assert [one for message in texts(f"[click]({url}) [me](<{url}>)") for one in message.entities if one.type == "text_link"] == []


def test_a_style_goes_on_in_the_next_part_and_counts_from_there() -> None:
    first, second = texts("**" + "я😀 " * 1500 + "end**")
    assert [len(one.text.encode("utf-16-le")) // 2 <= 4096 for one in (first, second)] == [True, True]
    assert first.entities[0].offset == second.entities[0].offset == 0
    assert {one.type for one in (*first.entities, *second.entities)} == {"bold"}


def test_code_holds_no_other_style_and_a_quotation_may_hold_code() -> None:
    (message,) = texts("> **a `b` c**")
    assert message.entities == (
        MessageEntity("blockquote", 0, 5),
        MessageEntity("bold", 0, 2),
        MessageEntity("code", 2, 1),
        MessageEntity("bold", 3, 2),
    )


def test_of_more_styles_than_telegram_takes_the_small_ones_go() -> None:
    (message,) = texts("> " + " ".join(f"**b{number}**" for number in range(150)))
    assert len(message.entities) == 100
    assert message.entities[0].type == "blockquote"


def test_a_wide_table_becomes_points() -> None:
    wide = "| name | about |\n|---|---|\n| seeds | " + "long " * 20 + "|\n| bees | short |"
    assert rich(wide).text.startswith("• name: seeds; about: long long")
    assert rich(wide).text.endswith("\n• name: bees; about: short")


def test_a_part_ends_between_blocks_where_it_can() -> None:
    markdown = "\n\n".join("word " * 30 for _ in range(40))
    paragraph = ("word " * 30).strip()
    assert {block for message in texts(markdown) for block in message.text.split("\n\n")} == {paragraph}


def test_halves_of_characters_and_nul_do_no_harm() -> None:
    (message,) = texts("a\0b \ud83d c")
    assert message.text == "ab ? c"


@pytest.mark.parametrize("markdown", ["\u200b", " \u2060\n\n\u200e ", "\u3164", "\u2800", "\u00ad", "\ufe0f", "[](http://a.b)", "# "])
def test_what_nobody_would_see_is_no_message(markdown: str) -> None:
    assert texts(markdown) == []
    assert all(legible(text.text) for text in texts("word\n\n" + markdown + "\u200b" * 9000))


@pytest.mark.parametrize("text", ["a", "🐝", "0", "…", "👩\u200d🌾", "\u0645\u06cc\u200c", ".", "<!-- -->"])
def test_what_anybody_sees_is_one(text: str) -> None:
    assert legible(text)
    assert texts(text)
