"""YAML events to a tree with marks, within bounds.

PyYAML's own composer recurses, forgets lines, lets the last of two equal keys win and expands aliases without end; so this one is ours.
"""

from collections.abc import Mapping

import msgspec
import yaml
from msgspec.structs import replace

from dagi.config.marks import Branch, Items, KeyPath, Leaf, Mark, Node, dotted
from dagi.config.mistakes import Mistake, line
from dagi.config.scalars import fill, resolve, unspeakable
from dagi.errors import ConfigError

MAX_DEPTH = 64
MAX_NODES = 100_000
MAX_KEY = 200
_MERGE = "<<"
_TAGS = "tag:yaml.org,2002:"


class Tree(msgspec.Struct, frozen=True):
    """What a file says, and the mistakes that leave the rest readable."""

    root: Branch
    mistakes: tuple[Mistake, ...]


class _Weighed(msgspec.Struct, frozen=True):
    """A finished node with its cost: how many nodes it stands for, and how deep it is."""

    node: Node
    size: int = 1
    height: int = 1


class _Open(msgspec.Struct, eq=False):
    """A mapping or list that is still being read. In a mapping, `key` is the key whose value comes next."""

    mark: Mark
    is_mapping: bool
    anchor: str | None
    entries: dict[str, Node] = {}
    inherited: dict[str, Node] = {}
    nodes: list[Node] = []
    key: str | None = None
    key_mark: Mark = Mark("")
    size: int = 1
    height: int = 1


class Composer:
    """Takes the events of one document, one by one."""

    def __init__(self, file: str, variables: Mapping[str, str]) -> None:
        self._file = file
        self._variables = variables
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Weighed] = {}
        self._root: Node | None = None
        self._documents = 0
        self._size = 0
        self._mistakes: list[Mistake] = []

    def take(self, event: yaml.Event) -> None:
        """Go on with the next event.

        Raises:
            ConfigError: the document goes beyond a limit, or uses something of YAML that has no meaning here.
        """
        match event:
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._start(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end()
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise self._fatal(self._mark(event), "a second document begins here; one file is one document, remove the ---")
            case _:
                pass

    def tree(self) -> Tree:
        """What was read.

        Raises:
            ConfigError: the document is no mapping.
        """
        root = self._root
        if root is None or (isinstance(root, Leaf) and root.value is None):
            root = Branch({}, Mark(self._file, 1))
        if not isinstance(root, Branch):
            raise self._fatal(root.mark, "a configuration is a mapping (key: value) at the top")
        return Tree(root, tuple(self._mistakes))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.is_mapping and frame.key is None:
            self._key(frame, event)
        else:
            weighed = _Weighed(self._leaf(event))
            self._remember(event.anchor, weighed)
            self._place(weighed)

    def _key(self, frame: _Open, event: yaml.ScalarEvent) -> None:
        mark = self._mark(event)
        key = event.value
        if len(key) > MAX_KEY:
            raise self._fatal(mark, f"a key of {len(key)} characters; keys have at most {MAX_KEY}")
        if complaint := unspeakable(key):
            raise self._fatal(mark, f"a key {complaint}")
        if _is_plain(event) and not _is_text(key):
            self._complain(mark, f'keys are text; write "{key}" in quotes', key)
        frame.key, frame.key_mark = key, mark

    def _leaf(self, event: yaml.ScalarEvent) -> Leaf:
        mark = self._mark(event)
        filled = fill(event.value, self._variables)
        if filled.variables:
            mark = replace(mark, variables=filled.variables)
        problem = filled.problem or unspeakable(filled.text) or self._tag_problem(event.tag, "str")
        if problem is None and _is_plain(event):
            try:
                return Leaf(resolve(filled.text), mark)
            except ValueError as error:
                problem = str(error)
        if problem is None:
            return Leaf(filled.text, mark)
        self._complain(mark, problem)
        return Leaf(None, mark, broken=True)

    def _start(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        mark = self._mark(event)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        self._refuse_as_key(mark)
        if len(self._stack) >= MAX_DEPTH:
            raise self._fatal(mark, f"nested more than {MAX_DEPTH} levels deep")
        if problem := self._tag_problem(event.tag, "map" if is_mapping else "seq"):
            raise self._fatal(mark, problem)
        self._stack.append(_Open(mark=mark, is_mapping=is_mapping, anchor=event.anchor))

    def _end(self) -> None:
        frame = self._stack.pop()
        # An own key wins over one that came with `<<`, whichever stands first.
        node = Branch({**frame.inherited, **frame.entries}, frame.mark) if frame.is_mapping else Items(tuple(frame.nodes), frame.mark)
        weighed = _Weighed(node, frame.size, frame.height)
        self._remember(frame.anchor, weighed)
        self._place(weighed)

    def _alias(self, event: yaml.AliasEvent) -> None:
        mark = self._mark(event)
        self._refuse_as_key(mark)
        name = event.anchor or ""
        weighed = self._anchors.get(name)
        if weighed is None:
            raise self._fatal(mark, f"*{name[:MAX_KEY]} stands for nothing that was defined, with &, before this line")
        if len(self._stack) + weighed.height > MAX_DEPTH:
            raise self._fatal(mark, f"nested more than {MAX_DEPTH} levels deep")
        self._place(weighed)

    def _place(self, weighed: _Weighed) -> None:
        """Put a finished value where it belongs."""
        self._size += weighed.size
        if self._size > MAX_NODES:
            raise self._fatal(weighed.node.mark, f"more than {MAX_NODES:,} values, aliases counted as what they stand for")
        if not self._stack:
            self._root = weighed.node
            return
        frame = self._stack[-1]
        frame.size += weighed.size
        frame.height = max(frame.height, weighed.height + 1)
        if not frame.is_mapping:
            frame.nodes.append(weighed.node)
        elif frame.key == _MERGE:
            self._inherit(frame, weighed.node)
        else:
            self._enter(frame, weighed.node)
        frame.key = None

    def _enter(self, frame: _Open, node: Node) -> None:
        key = frame.key or ""
        first = frame.entries.get(key)
        if first is not None:
            self._complain(frame.key_mark, f"this key stands here twice, first in line {first.mark.line}; remove one of the two", key)
            return
        # An entry is found at its key, also where its value begins a line later or stands at an anchor elsewhere.
        frame.entries[key] = replace(node, mark=replace(frame.key_mark, variables=node.mark.variables))

    def _inherit(self, frame: _Open, node: Node) -> None:
        sources = node.nodes if isinstance(node, Items) else (node,)
        for source in sources:
            if not isinstance(source, Branch):
                self._complain(frame.key_mark, "<< takes a mapping or a list of mappings", _MERGE)
                return
            for key, value in source.entries.items():
                frame.inherited.setdefault(key, value)

    def _remember(self, anchor: str | None, weighed: _Weighed) -> None:
        if anchor is not None:
            self._anchors[anchor] = weighed

    def _refuse_as_key(self, mark: Mark) -> None:
        if self._stack and self._stack[-1].is_mapping and self._stack[-1].key is None:
            raise self._fatal(mark, "a key is plain text here; put text that begins with [, { or * in quotes")

    def _tag_problem(self, tag: str | None, allowed: str) -> str | None:
        if tag is None or tag in ("!", _TAGS + allowed):
            return None
        return f"the tag {tag.replace(_TAGS, '!!')[:MAX_KEY]} means nothing here; write the value without it"

    def _mark(self, event: yaml.Event) -> Mark:
        return Mark(self._file, event.start_mark.line + 1 if event.start_mark else None)

    def _path(self, *last: str) -> KeyPath:
        """Where the reader is: the keys and indexes of everything that is open."""
        parts: list[str | int] = []
        for frame in self._stack:
            if not frame.is_mapping:
                parts.append(len(frame.nodes))
            elif frame.key is not None:
                parts.append(frame.key)
        if last and self._stack and self._stack[-1].key is not None:
            parts.pop()
        return (*parts, *last)

    def _complain(self, mark: Mark, message: str, *key: str) -> None:
        self._mistakes.append(Mistake(mark, self._path(*key), message))

    def _fatal(self, mark: Mark, message: str) -> ConfigError:
        return ConfigError(line(mark, dotted(self._path()), message))


def _is_plain(event: yaml.ScalarEvent) -> bool:
    """Written without quotes, so that `8` is a number."""
    return event.implicit[0] and event.tag is None


def _is_text(key: str) -> bool:
    try:
        return isinstance(resolve(key), str)
    except ValueError:
        return False
