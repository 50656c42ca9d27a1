"""Where every value came from."""

from collections.abc import Iterable

from dagi.config.marks import DEFAULT, KeyPath, Mark, Node, dotted, walk
from dagi.config.mistakes import line, refusal
from dagi.errors import ConfigError


class Origins:
    """Looks up where a value was written; paths as in `llm_providers[1].config.base_url` or as tuples of keys and indexes.

    An index counts in the final, merged list.
    """

    def __init__(self, tree: Node) -> None:
        self._root = tree.mark
        self._marks = {dotted(path): node.mark for path, node in walk(tree)}

    def __repr__(self) -> str:
        return f"Origins({len(self._marks)} marks)"

    def source(self, path: str | KeyPath) -> Mark:
        """Where exactly this value was written; `default` where nobody wrote it."""
        return self._marks.get(_text(path), DEFAULT)

    def mark(self, path: str | KeyPath) -> Mark:
        """Where to point for this path: at the value, or at the nearest thing around it that was written (a missing key has no line)."""
        text = _text(path)
        while text:
            found = self._marks.get(text)
            if found is not None:
                return found
            text = text[: max(text.rfind("."), text.rfind("["), 0)]
        return self._root

    def mistake(self, path: str | KeyPath, message: str) -> str:
        """One line about a mistake at that path, with file and line."""
        return line(self.mark(path), _text(path), message)

    def error(self, complaints: Iterable[tuple[str | KeyPath, str]]) -> ConfigError:
        """One error for all complaints, in the order of the files' lines."""
        found = [(self.mark(path), _text(path), message) for path, message in complaints]
        found.sort(key=lambda item: (item[0].file, item[0].line or 0))
        return refusal([line(*item) for item in found])


def _text(path: str | KeyPath) -> str:
    return path if isinstance(path, str) else dotted(path)
