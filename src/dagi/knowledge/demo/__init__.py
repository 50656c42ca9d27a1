"""The documents and proposals of the demo DAO, `greenfood-dao`."""

from importlib.resources import files

import msgspec

DAO_ID = "greenfood-dao"
DAO_NAME = "GreenFood DAO"


def demo_documents() -> tuple[tuple[str, str], ...]:
    """Name and Markdown of every document, by name."""
    found = [entry for entry in files(__name__).iterdir() if entry.name.endswith(".md")]
    return tuple((entry.name, entry.read_text(encoding="utf-8")) for entry in sorted(found, key=lambda entry: entry.name))


class DemoProposal(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal as somebody has made it, and how members have voted. `days` lie between its making and its deadline."""

    title: str
    body: str
    author: str
    quorum: str
    days: int
    votes: tuple[tuple[str, str], ...]
    closed: bool = False


def demo_proposals() -> tuple[DemoProposal, ...]:
    """One that is decided, in English, and one that is open, in Ukrainian; in the order of their making."""
    return (
        DemoProposal(
            title="Meet in person every first Saturday",
            body="One meeting a month in the garden, to taste what we grew and to decide what cannot wait for a vote.",
            author="tg:admin001",
            quorum="2",
            days=5,
            votes=(("tg:admin001", "for"), ("tg:contributor001", "for"), ("tg:12345", "abstain")),
            closed=True,
        ),
        DemoProposal(
            title="Купити другий вулик для міської пасіки",
            body="Перший вулик перезимував добре. Другий коштує 240 GREEN разом із рамками; доглядати за ним береться Тарас.",
            author="tg:contributor001",
            quorum="50%",
            days=5,
            votes=(("tg:contributor001", "for"), ("tg:12345", "for")),
        ),
    )
