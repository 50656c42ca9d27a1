"""Edits, diffs and patches: what is shown as a change can be applied, and what does not fit changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.errors import Conflict, DagiError, Invalid, PayloadTooLarge
from dagi.targets.devtools.files.diffs import bounded, lines_of, unified
from dagi.targets.devtools.files.edits import Edit, apply_edits
from dagi.targets.devtools.files.patches import apply_patch, parse_patch

LINES = st.lists(
    st.sampled_from(["a", "b", "c", "", "-x", "+y", " z", "@@ -1 +1 @@", "--- a", "+++ b", "-- ", "\\ No", "é\r", "\u2028", "\x0c"]),
    max_size=25,
)
TEXTS = st.one_of(st.builds(lambda lines, end: "\n".join(lines) + end, LINES, st.sampled_from(["", "\n"])), st.text(max_size=60))


@given(TEXTS, TEXTS)
def test_the_diff_of_two_texts_makes_one_into_the_other(old: str, new: str) -> None:
    diff = unified(old, new, "x")
    if old == new:
        assert diff == ""
        return
    assert apply_patch(old, parse_patch(diff)) == new


@given(TEXTS, TEXTS, st.lists(st.sampled_from(["q", "w"]), max_size=5))
def test_a_patch_fits_further_down_or_is_told_not_to(old: str, new: str, above: list[str]) -> None:
    hunks = parse_patch(unified(old, new, "x")) if old != new else []
    head = "".join(f"{line}\n" for line in above)
    try:
        result = apply_patch(head + old, hunks)
    except (Conflict, Invalid):
        return
    # Where the same lines are in several places, the one it says decides: then what was removed and added is the same all the same.
    assert len(result) - len(head + old) == len(new) - len(old)


@given(st.text(alphabet="ab\n", max_size=30), st.text(alphabet="ab\n+- @\\0123456789,", max_size=120))
def test_any_text_is_a_patch_or_told_not_to_be_one(text: str, patch: str) -> None:
    for tried in (patch, f"@@ -1,2 +1,2 @@\n{patch}", f"@@ @@\n{patch}"):
        try:
            assert isinstance(apply_patch(text, parse_patch(tried)), str)
        except DagiError as told:
            assert told.facts["field"] == "params.patch"


TEXT = "".join(f"line {number}\n" for number in range(1, 21))


def test_wrong_numbers_and_wrong_counts_do_not_matter_where_the_lines_decide() -> None:
    wanted = TEXT.replace("line 12\n", "line twelve\n")
    for head in ("@@ -12,1 +12,1 @@", "@@ -1,9 +1,9 @@ def x():", "@@ -300,3 +300,3 @@", "@@ ... @@", "@@"):
        patch = f"diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n{head}\n line 11\n-line 12\n+line twelve\n line 13\n"
        assert apply_patch(TEXT, parse_patch(patch)) == wanted, head


def test_what_mail_and_git_put_around_a_patch_is_passed_over() -> None:
    patch = "From: a\nSubject: b\n\n---\n x | 2 +-\n\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -2 +2 @@ y\n-line 2\n+two\n-- \n2.40\n\n"
    assert apply_patch(TEXT, parse_patch(patch)) == TEXT.replace("line 2\n", "two\n", 1)


def test_a_hunk_that_fits_nowhere_or_anywhere_is_named() -> None:
    with pytest.raises(Conflict, match="Hunk 2") as told:
        apply_patch(TEXT, parse_patch("@@ -1 +1 @@\n-line 1\n+one\n@@ -9,2 +9,2 @@\n line 9\n-line 11\n+eleven\n"))
    assert told.value.facts["hunk"] == 2
    with pytest.raises(Invalid, match="several places"):
        apply_patch("a\nb\n" * 5, parse_patch("@@ -30 +30 @@\n-b\n+c\n"))
    with pytest.raises(Conflict, match="after the hunk before it"):
        apply_patch(TEXT, parse_patch("@@ -9 +9 @@\n-line 9\n+nine\n@@ -1 +1 @@\n-line 1\n+one\n"))


def test_all_hunks_move_together() -> None:
    patch = parse_patch("@@ -2 +2 @@\n-line 2\n+two\n@@ -5 +5 @@\n-line 5\n+five\n")
    moved = apply_patch("above\n" * 3 + TEXT, patch)
    assert moved == "above\n" * 3 + TEXT.replace("line 2\n", "two\n", 1).replace("line 5\n", "five\n", 1)


def test_the_end_of_a_text_without_a_line_end_is_kept_apart() -> None:
    patch = "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n"
    assert apply_patch("a\nb", parse_patch(patch)) == "a\nc"
    with pytest.raises(Conflict):
        apply_patch("a\nb\n", parse_patch(patch))
    with pytest.raises(Conflict, match="line end"):
        apply_patch("a\nb", parse_patch("@@ -2,0 +3 @@\n+c\n"))


@pytest.mark.parametrize(
    "patch",
    [
        "",
        "hello",
        "--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-line 1\n",
        "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-line 1\n+one\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n",
        "diff --git a/x b/y\nrename from x\nrename to y\n",
        "GIT binary patch\nliteral 1\n",
        "@@ -1,2 +1,2 @@\n-line 1\nline 2\n",
        "@@ -99999999999999999999999999 +1 @@\n+x\n",
    ],
)
def test_what_is_no_patch_of_one_file_is_told(patch) -> None:
    with pytest.raises((Invalid, Conflict)):
        apply_patch(TEXT, parse_patch(patch))


def test_a_hostile_patch_takes_no_time_to_speak_of() -> None:
    text = "x\n" * 200_000
    hunks = parse_patch("@@ -1,1 +1,1 @@\n x\n" * 5000 + "@@ -1 +1 @@\n-y\n+z\n")
    with pytest.raises((Conflict, Invalid)):
        apply_patch(text, hunks)
    old, new = "".join(f"{n % 7}\n" for n in range(50_000)), "".join(f"{n % 11}\n" for n in range(50_000))
    assert apply_patch(old, parse_patch(unified(old, new, "x"))) == new


@given(TEXTS, st.text(alphabet="abz\n", max_size=8), st.data())
def test_an_edit_of_what_is_there_once_changes_that_alone(text: str, new: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    old = text[start:end]
    if old and text.count(old) == 1 and text.find(old, start + 1) < 0:
        assert apply_edits(text, [Edit(old=old, new=new)], limit=10_000) == text[:start] + new + text[end:]
    elif old:
        assert apply_edits(text, [Edit(old=old, new=new, all=True)], limit=100_000) == text.replace(old, new)


def test_an_edit_that_fits_nowhere_twice_or_too_often_is_told_by_its_number() -> None:
    with pytest.raises(Conflict) as told:
        apply_edits("a b a", [Edit(old="a b", new="c"), Edit(old="b", new="d")], limit=100)
    assert told.value.facts["field"] == "params.edits[1].old"
    with pytest.raises(Invalid, match="2 times"):
        apply_edits("a b a", [Edit(old="a", new="c")], limit=100)
    with pytest.raises(PayloadTooLarge):
        apply_edits("a" * 50_000, [Edit(old="a", new="b" * 50_000, all=True)], limit=1 << 20)
    with pytest.raises(Invalid):
        apply_edits("a", [], limit=100)


@given(TEXTS)
def test_lines_are_the_text(text: str) -> None:
    assert "".join(lines_of(text)) == text
    assert all(line.count("\n") == 1 and line.endswith("\n") for line in lines_of(text)[:-1])


def test_a_long_diff_is_cut_at_a_line() -> None:
    diff = unified(TEXT, TEXT.upper(), "x")
    cut, was_cut = bounded(diff, 60)
    assert was_cut
    assert diff.startswith(cut)
    assert cut.endswith("\n")
    assert bounded(diff, len(diff)) == (diff, False)
