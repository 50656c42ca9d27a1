"""Taking documents in: what is refused, and how text is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.errors import Invalid
from dagi.knowledge.chunk import LONGEST, LONGEST_FENCE, WANTED, passages
from dagi.knowledge.demo import demo_documents
from dagi.knowledge.ingest import MAX_BYTES, read_document
from dagi.ports.documents import Passage

MARKDOWN = st.lists(
    st.sampled_from(["# ", "## ", "###### ", "- ", "1. ", "```", "~~~", "\n", "\n\n", "> ", "| a | b |\n", " ", "    ", "#", "\\"])
    | st.text(alphabet="aбїż 1.,!`#-", max_size=30)
    | st.text(max_size=8),
    max_size=60,
).map("".join)


def test_a_passage_stands_under_the_path_of_its_headings() -> None:
    text = "# DAO\n\nWe farm.\n\n## Projects ##\n\n### Basket\n\nVegetables.\n\n## Money\n\nA little."
    assert list(passages(text)) == [
        Passage("DAO", "We farm."),
        Passage("DAO › Projects › Basket", "Vegetables."),
        Passage("DAO › Money", "A little."),
    ]


def test_a_heading_with_nothing_under_it_is_a_passage_itself() -> None:
    assert list(passages("# Open\n\n## Soon\n")) == [Passage("Open › Soon", "Soon")]


def test_short_neighbours_share_a_passage_and_items_stay_whole() -> None:
    items = "\n".join(f"- item {number} " + "x" * 150 for number in range(6))
    cut = [passage.text for passage in passages(f"Intro:\n\n{items}")]
    assert [text.count("- item") for text in cut] == [3, 3]
    assert all(len(text) <= WANTED for text in cut)


def test_lines_an_editor_wrapped_are_joined_and_short_lines_are_kept() -> None:
    wrapped = "A line that is as long as an editor lets it be before wrapping\nand its end.\n\nName: Olena\nRole: lead\n"
    (passage,) = passages(wrapped)
    assert passage.text == "A line that is as long as an editor lets it be before wrapping and its end.\n\nName: Olena\nRole: lead"


def test_fenced_code_stays_whole_and_its_hashes_are_no_headings() -> None:
    code = "```sh\n# not a heading\n\n" + "echo hello\n" * 100 + "```"
    (passage,) = passages(f"# Setup\n\n{code}")
    assert passage == Passage("Setup", code)


@given(MARKDOWN)
def test_cutting_loses_no_word(text: str) -> None:
    told = [passage.title + " " + passage.text for passage in passages(text)]
    kept = "".join("".join(told).split())
    for word in text.split():
        # Marks of headings are all that may go; what is longer than a passage is cut.
        bare = word.strip("#")
        assert len(bare) > WANTED or bare in kept


@given(MARKDOWN)
def test_no_passage_is_empty_or_longer_than_allowed(text: str) -> None:
    for passage in passages(text):
        assert passage.text.strip()
        assert len(passage.text) <= LONGEST_FENCE + LONGEST
        assert len(passage.title) <= 400


@pytest.mark.parametrize(
    "text", ["a" * MAX_BYTES, "- " * (MAX_BYTES // 2), "```\n" + "x " * 400_000, "# " + "y" * 900_000, "\n" * MAX_BYTES + "z"]
)
def test_hostile_texts_are_cut_in_time(text: str) -> None:
    assert max(len(passage.text) for passage in passages(text)) <= LONGEST_FENCE


def test_a_document_of_nothing_but_headings_has_too_many_passages() -> None:
    with pytest.raises(Invalid, match="10000 passages"):
        read_document("many.md", b"# a\n" * 10_001)


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "no text"), (b" \n\t", "no text"), (b"a\0b", "NUL"), (b"\xff\xfe", "UTF-8"), (b"a" * (MAX_BYTES + 1), "at most 1024 KiB")],
)
def test_content_that_is_no_text_is_refused_with_a_reason(content: bytes, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        read_document("about.md", content)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../etc/passwd", "a/b", "a\\b", " a", "a ", "-rf", "a\nb", "a\0", "\ud800", "x" * 101, "a:b"]
)
def test_a_name_that_could_be_a_path_or_a_trick_is_refused(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_document(name, b"text")
    assert refused.value.facts["field"] == "name"


@pytest.mark.parametrize("name", ["about.uk.md", "Статут (2026).md", "a", "1+1.txt"])
def test_an_ordinary_name_is_kept(name: str) -> None:
    assert read_document(name, b"text").name == name


def test_what_steers_a_terminal_is_taken_out() -> None:
    (passage,) = read_document("a.md", "\ufeffred \x1b[31m \u202etxet\r\nline".encode()).passages
    assert passage.text == "red [31m txet\nline"


def test_the_demo_documents_come_in_both_languages_and_are_accepted() -> None:
    names = {name for name, _ in demo_documents()}
    assert {name.replace(".uk.", ".en.") for name in names if ".uk." in name} == {name for name in names if ".en." in name}
    assert len(names) == 12
    assert sum(len(read_document(name, text.encode()).passages) for name, text in demo_documents()) == 38
