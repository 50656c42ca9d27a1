"""Who is next."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dagi.targets.resilience.line import FairLine

PEOPLE = st.tuples(st.sampled_from("ABC"), st.sampled_from("xyz"))


def line(*who: str) -> FairLine[str]:
    """People named by DAO and person, `Ax` being person x of DAO A."""
    found: FairLine[str] = FairLine()
    for number, name in enumerate(who):
        found.join(name[0], name, f"{name}{number}")
    return found


def called(found: FairLine[str], number: int) -> list[str]:
    return [item[:2] for item in (found.call() for _ in range(number)) if item is not None]


def test_one_persons_questions_keep_their_order() -> None:
    found = line("Ax", "Ax", "Ax")
    assert [found.call(), found.call(), found.call(), found.call()] == ["Ax0", "Ax1", "Ax2", None]


def test_a_dao_that_asks_much_does_not_delay_one_that_asks_once() -> None:
    assert called(line(*["Ax"] * 50, "Bx"), 2) == ["Ax", "Bx"]


def test_people_of_one_dao_take_turns() -> None:
    assert called(line("Ax", "Ax", "Ax", "Ay", "Az"), 5) == ["Ax", "Ay", "Az", "Ax", "Ax"]


def test_who_weighs_more_is_called_more_often_and_the_others_all_the_same() -> None:
    found: FairLine[str] = FairLine()
    for _ in range(20):
        found.join("A", "admin", "admin", weight=4.0)
        found.join("A", "guest", "guest")
    order = [found.call() for _ in range(10)]
    assert Counter(order) == {"admin": 8, "guest": 2}


def test_leaving_and_coming_back_earns_nothing() -> None:
    found = line(*["Ax"] * 20, "Bx")
    order: list[str] = []
    for _ in range(20):
        item = found.call()
        assert item is not None
        order.append(item[0])
        if item[0] == "B":
            found.join("B", "Bx", "Bx")
    assert Counter(order) == {"A": 10, "B": 10}


def test_who_has_had_most_gives_up_its_place_to_a_newcomer() -> None:
    assert line("Ax", "Ax", "Bx").least_entitled("C", "Cx") == "Ax1"
    assert line("Ax", "Ax", "Ay").least_entitled("A", "Az") == "Ax1"


def test_a_newcomer_who_asks_as_much_as_the_others_takes_no_place_away() -> None:
    assert line("Ax", "Bx").least_entitled("C", "Cx") is None
    assert line("Ax", "Ax").least_entitled("A", "Ax") is None
    assert FairLine[str]().least_entitled("A", "Ax") is None


def test_who_was_called_lately_counts_as_having_had_more() -> None:
    found = line("Ax", "Bx")
    assert found.call() == "Ax0"
    found.join("A", "Ax", "again")
    assert found.least_entitled("C", "Cx") == "again"


def test_the_line_remembers_no_more_people_than_it_needs() -> None:
    found: FairLine[str] = FairLine()
    for number in range(5000):
        found.join(f"dao{number}", "x", "item")
        found.call()
    known = len(vars(found)["_houses"])
    assert known <= 201


@given(st.lists(PEOPLE, max_size=40))
def test_everyone_is_called_once_and_in_the_order_of_their_own(who: list[tuple[str, str]]) -> None:
    found: FairLine[tuple[str, str, int]] = FairLine()
    for number, (dao, person) in enumerate(who):
        found.join(dao, person, (dao, person, number))
    assert sorted(found) == sorted((dao, person, number) for number, (dao, person) in enumerate(who))
    order = [item for item in (found.call() for _ in who) if item is not None]
    assert len(found) == 0
    assert sorted(order, key=lambda item: item[2]) == [(dao, person, number) for number, (dao, person) in enumerate(who)]
    for dao, person in set(who):
        own = [number for d, p, number in order if (d, p) == (dao, person)]
        assert own == sorted(own)


@given(st.lists(PEOPLE, min_size=1, max_size=40), st.data())
def test_nobody_waits_longer_than_a_turn_of_everyone_else_for_each_of_its_own(who: list[tuple[str, str]], data: st.DataObject) -> None:
    found: FairLine[tuple[str, str]] = FairLine()
    for dao, person in who:
        found.join(dao, person, (dao, person))
    one = data.draw(st.sampled_from(sorted(set(who))))
    order = [found.call() for _ in who]
    daos = len({dao for dao, _ in who})
    people = len({person for dao, person in who if dao == one[0]})
    assert order.index(one) < daos * people


@given(st.lists(st.tuples(PEOPLE, st.booleans()), max_size=60))
def test_leaving_the_line_leaves_the_others_in_it(moves: list[tuple[tuple[str, str], bool]]) -> None:
    found: FairLine[int] = FairLine()
    inside: dict[int, tuple[str, str]] = {}
    for number, ((dao, person), leaves) in enumerate(moves):
        found.join(dao, person, number)
        inside[number] = (dao, person)
        if leaves:
            gone, (from_dao, from_person) = next(iter(inside.items()))
            found.leave(from_dao, from_person, gone)
            found.leave(from_dao, from_person, gone)
            del inside[gone]
    assert sorted(found) == sorted(inside)
    assert len(found) == len(inside)
