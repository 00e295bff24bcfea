"""Read a YAML file into a typed structure, and report all errors at once with their places.

Used for the configuration and for rule files. YAML parsers accept a duplicate key and keep the last
one; here a duplicate key is an error, as are unknown keys and wrong types.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import yaml

from heptad.core.config.error_collector import ErrorCollector, PathKey, types_at
from heptad.core.config.options import Fault, KeyPath, check_values
from heptad.core.config.small_file import read_file
from heptad.core.config.types import decode
from heptad.core.terminal import show_path

T = TypeVar("T", bound=msgspec.Struct)
Check = Callable[[T], Iterable[Fault | tuple[KeyPath, str]]]
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT: Final = "tag:yaml.org,2002:str"
_MOST_PROBLEMS: Final = 50
_LONGEST_MESSAGE: Final = 1000
_QUOTED: Final = 400
_LARGEST_FILE: Final = 4 * 2**20
_DEEPEST: Final = 20
_MOST_NODES: Final = 50_000
# PyYAML raises these if a value does not match its tag, such as !!int or !!timestamp
_NOT_OF_ITS_TAG: Final = (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError)


class Problem(msgspec.Struct, frozen=True):
    """One error in a document: its place, and what to do about it."""

    file: str
    place: str
    message: str

    def __str__(self) -> str:
        """Return the problem as one line: file:line:column: message."""
        return f"{self.file}:{self.place}: {self.message}"


class DocumentError(Exception):
    """A document cannot be used; ``problems`` lists all of its errors."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def load(
    path: Path,
    kind: type[T],
    expand: Callable[[str], str] | None = None,
    check: Check[T] | None = None,
) -> T:
    """Read ``path`` as ``kind``; ``expand`` is applied to every string value first.

    ``check`` reports faults that the types cannot express, with their places. Raise DocumentError
    with all errors.
    """
    name = show_path(path)
    try:
        text = read_file(path, _LARGEST_FILE).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, UnicodeDecodeError):
            reason = f"byte {error.start + 1} is not UTF-8"
        raise DocumentError([Problem(name, "0:0", f"cannot be read: {reason}")]) from None
    return parse(text, name, kind, expand, check)


def parse(
    text: str,
    name: str,
    kind: type[T],
    expand: Callable[[str], str] | None = None,
    check: Check[T] | None = None,
) -> T:
    """Parse a text like ``load``; messages call it ``name``."""
    try:
        _check_bounds(text, name)
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        place = _place(error.problem_mark or error.context_mark)
        raise DocumentError([Problem(name, place, f"not YAML: {error.problem}")]) from None
    except yaml.YAMLError as error:
        raise DocumentError([Problem(name, "1:1", f"not YAML: {_one_line(error)}")]) from None
    reader = _YamlReader(name, expand)
    if root is not None and root.tag == "tag:yaml.org,2002:null":
        root = None
    collector = ErrorCollector({} if root is None else reader.construct(root))
    result = _convert(collector, kind, root, reader)
    if result is not None:
        wrong = list(check_values(result))
        _add_faults(wrong, collector, root, reader)
        for fault in wrong:
            collector.touch(fault.path)
        _add_faults((Fault(*f) for f in (check(result) if check else ())), collector, root, reader)
    if result is None or reader.problems:
        problems = sorted(reader.problems, key=_by_place)
        if len(problems) >= _MOST_PROBLEMS:
            text = f"only {_MOST_PROBLEMS} errors are listed; correct these and check again"
            problems.append(Problem(name, problems[-1].place, text))
        raise DocumentError(problems)
    return result


def _add_faults(
    faults: Iterable[Fault],
    collector: ErrorCollector,
    root: yaml.Node | None,
    reader: "_YamlReader",
) -> None:
    """Report the faults that do not follow from another one."""
    for fault in faults:
        path = collector.original(fault.path)
        reads = [collector.original(read) for read in fault.reads]
        if collector.is_touched(path) or any(collector.is_touched(r, inside=True) for r in reads):
            continue
        node, *others = [_node_at(root, each) for each in (path, *reads)]
        if not reader.is_broken(node, *others):
            reader.add(node, _explain(fault.message, path))


def _check_bounds(text: str, name: str) -> None:
    """Reject deep nesting: libyaml's composer recurses, which would crash the process."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST or number > _MOST_NODES:
            what = "nested too deeply" if depth > _DEEPEST else f"more than {_MOST_NODES} values"
            raise DocumentError([Problem(name, _place(event.start_mark), what)])


def _place(mark: Any) -> str:
    return f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class _YamlReader:
    """Converts YAML nodes to plain data and collects the errors."""

    def __init__(self, name: str, expand: Callable[[str], str] | None) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self._expand = expand
        self._broken: set[str] = set()
        self._scalars = yaml.SafeLoader("")
        self._depth = 0
        self._nodes = 0

    def add(self, node: yaml.Node | None, message: str) -> None:
        if len(self.problems) >= _MOST_PROBLEMS:
            return
        if len(message) > _LONGEST_MESSAGE:  # it quotes a value or a key
            message = f"{message[:_QUOTED]}…{message[-_QUOTED:]}"
        problem = Problem(self.name, _place(node and node.start_mark), message)
        if problem not in self.problems:
            self.problems.append(problem)

    def is_broken(self, *nodes: yaml.Node | None) -> bool:
        """Return whether the value of one of the nodes could not be read."""
        return any(_place(node and node.start_mark) in self._broken for node in nodes)

    def construct(self, node: yaml.Node) -> Any:
        self._depth += 1
        self._nodes += 1
        try:
            if self._depth > _DEEPEST:
                self.add(node, "nested too deeply, or an alias that contains itself")
                return None
            if self._nodes > _MOST_NODES:
                if self._nodes == _MOST_NODES + 1:
                    self.add(node, f"more than {_MOST_NODES} values after its aliases are expanded")
                return None
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node)
            if isinstance(node, yaml.SequenceNode):
                return [self.construct(item) for item in node.value]
            return self._scalar(node)
        finally:
            self._depth -= 1

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                self.add(key_node, "is not a valid key; a key must be a plain word")
            elif key in data:
                self.add(key_node, f"the key `{key}` appears twice; remove one of them")
                _merge(data[key], self.construct(value_node))
            else:
                data[key] = self.construct(value_node)
        return data

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            # nearly all values are text, which PyYAML takes ten times as long to recognize
            text = node.tag == _TEXT and type(node) is yaml.ScalarNode
            value = node.value if text else self._scalars.construct_object(node)
        except _NOT_OF_ITS_TAG as error:
            return self._break(node, f"invalid value: {_one_line(error)}")
        if isinstance(value, str) and self._expand is not None:
            return self._expanded(node, value)
        return value

    def _break(self, node: yaml.Node, message: str, value: Any = None) -> Any:
        self.add(node, message)
        self._broken.add(_place(node.start_mark))
        return value

    def _expanded(self, node: yaml.Node, value: str) -> Any:
        """Return the value with ${NAME} replaced; unquoted, it may become a number or a boolean."""
        assert self._expand is not None  # noqa: S101 - checked by the caller
        try:
            text = self._expand(value)
        except LookupError as error:
            return self._break(node, str(error.args[0]), value)
        if text == value or getattr(node, "style", None):
            return text
        resolve: Callable[..., str] = self._scalars.resolve
        tag = resolve(yaml.ScalarNode, text, (True, False))
        if tag.rpartition(":")[2] not in ("bool", "int", "float"):
            return text
        return self._scalars.construct_object(yaml.ScalarNode(tag, text))


_AT: Final = " - at `"
_PATH: Final = re.compile(r"(?:key in )?(\$(?:\.\w+|\[\d+\]|\[\.\.\.\])*)`")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")
_MISSING: Final = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)


def _convert(
    collector: ErrorCollector, kind: type[T], root: yaml.Node | None, reader: _YamlReader
) -> T | None:
    """Convert the data; if that fails, record the error, repair the data and try again."""
    while True:
        try:
            return msgspec.convert(collector.data, kind, dec_hook=decode)
        except msgspec.ValidationError as error:
            message, path = _split(str(error))
            try:
                original = collector.original(path)
            except (LookupError, TypeError):  # the path is part of a key that the message quotes
                message, path, original = str(error), [], []
            unknown, missing = _UNKNOWN.fullmatch(message), _MISSING.fullmatch(message)
            if unknown:
                path.append(unknown[1])
                original.append(unknown[1])
            name = missing[1] if missing else ""
            node = _node_at(root, original)
            if not collector.explains(original, name, kind) and not reader.is_broken(node):
                reader.add(node, _explain(message, original, kind))
            if len(reader.problems) >= _MOST_PROBLEMS:
                return None
            if not (collector.fill(path, name, kind) if name else collector.repair(path, kind)):
                return None


def _split(said: str) -> tuple[str, list[PathKey]]:
    """Split msgspec's message into error and path. A quoted key or value may look like a path."""
    message, _, where = said.rpartition(_AT)
    found = _PATH.fullmatch(where)
    if found is None:
        return said, []
    return message, [int(i) if i else k for k, i in _STEP.findall(found[1]) if i or k]


def _by_place(problem: Problem) -> tuple[int, int]:
    line, column = problem.place.split(":")
    return int(line), int(column)


def _explain(message: str, path: list[PathKey], kind: Any = None) -> str:
    """Return the message with its path and, for an invalid word, the valid ones."""
    where = ".".join(str(step) for step in path)
    if _UNKNOWN.fullmatch(message):
        names = {
            field.encode_name
            for info in types_at(kind, path[:-1])
            if isinstance(info, msgspec.inspect.StructType)
            for field in info.fields
        }
        message = f"unknown key; valid keys: {', '.join(sorted(names)) or 'none'}"
    elif missing := _MISSING.fullmatch(message):
        message = f"the key `{missing[1]}` is missing"
    elif message.startswith("Expected `str`"):
        message += "; write text in quotes"
    elif message.startswith("Invalid "):
        types = types_at(kind, path)
        words = [w for t in types if isinstance(t, msgspec.inspect.LiteralType) for w in t.values]
        if path and path[-1] == "type":
            structs = types_at(kind, path[:-1])
            words = [str(t.tag) for t in structs if isinstance(t, msgspec.inspect.StructType)]
        known = dict.fromkeys(map(str, words))
        message += f"; valid values: {', '.join(known)}" if known else ""
    return f"{where}: {message}" if where else message


def _merge(data: Any, second: Any) -> None:
    """Add the keys of the second of two duplicate mappings, so that they are checked too."""
    if isinstance(data, dict) and isinstance(second, dict):
        for key, value in second.items():
            _merge(data.setdefault(key, value), value)


def _node_at(root: yaml.Node | None, path: list[PathKey]) -> yaml.Node | None:
    """Return the node at a path, or the innermost one around it; a duplicate key has two."""
    nodes = [] if root is None else [root]
    for step in path:
        inner: list[yaml.Node] = []
        for node in nodes:
            if isinstance(node, yaml.MappingNode):
                inner += [value for key, value in node.value if key.value == step]
        if isinstance(step, int) and nodes and isinstance(nodes[0], yaml.SequenceNode):
            inner = nodes[0].value[step : step + 1]
        nodes = inner or nodes
    return nodes[0] if nodes else None
