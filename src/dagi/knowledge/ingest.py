"""Taking documents in: everything that arrives is checked here, once."""

import hashlib
import re
import unicodedata

import msgspec

from dagi.catalogue.words import normal
from dagi.errors import Invalid
from dagi.knowledge.chunk import passages
from dagi.ports.documents import MAX_FACTS, Document, Documents, Passage

MAX_BYTES = 1024 * 1024
MAX_NAME = 100

# Changes when documents are cut differently, so that an unchanged text is taken in anew after an upgrade.
_CUT = b"1\0"
_NAME = re.compile(r"\w[\w .()+-]*")
# Everything that steers a terminal or a renderer instead of being read, except line breaks and tabs.
_CONTROLS = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a document. `changed`: False when it was there already, word for word."""

    name: str
    passages: int
    changed: bool


class Ingest:
    """Takes documents into a DAO's knowledge."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def add(self, dao_id: str, name: str, content: bytes) -> Added:
        """Add a Markdown or plain text document, or replace the one of that name.

        Raises:
            Invalid: name or content cannot be accepted; says why and what to do.
            Missing: there is no such DAO.
        """
        document = read_document(name, content)
        changed = await self._documents.put(dao_id, document)
        return Added(name=document.name, passages=len(document.passages), changed=changed)


def read_document(name: str, content: bytes) -> Document:
    """Check a document and cut it into passages.

    Raises:
        Invalid: name or content cannot be accepted.
    """
    return Document(
        name=_checked_name(name),
        digest=hashlib.sha256(_CUT + content).hexdigest(),
        size_bytes=len(content),
        passages=_checked_passages(_checked_text(content)),
    )


def _checked_name(name: str) -> str:
    composed = unicodedata.normalize("NFC", name)
    if len(composed) > MAX_NAME or not _NAME.fullmatch(composed) or composed != composed.strip():
        raise Invalid(
            f"A document's name begins with a letter or a digit and has up to {MAX_NAME} letters, digits, spaces and the signs "
            ". _ - + ( ), for example about.uk.md; it is no path.",
            field="name",
        )
    return composed


def _checked_text(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise Invalid(
            f"A document has at most {MAX_BYTES // 1024} KiB; this one has {len(content) // 1024}. Split it.",
            field="content",
            size_bytes=len(content),
        )
    if b"\0" in content:
        raise Invalid("The document holds NUL bytes, so it is not a text. Export it as Markdown or plain text (UTF-8).", field="content")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid(
            f"The document is not UTF-8 (byte {error.start}). Save it as UTF-8 and add it again.", field="content", at=error.start
        ) from error
    return _CONTROLS.sub(lambda found: "\n" if found.group() in "\u2028\u2029\x0b\x0c\x85" else "", normal(text))


def _checked_passages(text: str) -> tuple[Passage, ...]:
    found: list[Passage] = []
    for passage in passages(text):
        found.append(passage)
        if len(found) > MAX_FACTS:
            raise Invalid(f"The document has more than {MAX_FACTS} passages. Use fewer headings, or split it.", field="content")
    if not found:
        raise Invalid("The document holds no text.", field="content")
    return tuple(found)
