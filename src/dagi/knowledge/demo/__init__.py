"""The documents of the demo DAO, `greenfood-dao`."""

from importlib.resources import files

DAO_ID = "greenfood-dao"
DAO_NAME = "GreenFood DAO"


def demo_documents() -> tuple[tuple[str, str], ...]:
    """Name and Markdown of every document, by name."""
    found = [entry for entry in files(__name__).iterdir() if entry.name.endswith(".md")]
    return tuple((entry.name, entry.read_text(encoding="utf-8")) for entry in sorted(found, key=lambda entry: entry.name))
