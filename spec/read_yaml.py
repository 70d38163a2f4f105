"""Reads a YAML spec into a File, the same one its `.weft` twin gives."""

from __future__ import annotations

from typing import Any

from .actions import Header, Names
from .assemble import STEP_SETTINGS, FileParts, StepParts, data_of
from .errors import Diagnostic, SpecError
from .expressions import Name, Setting
from .place import Place
from .scopes import check_names
from .source import source
from .tree import Block, Data, File, Import, Metric, Net, Train, Type, Variant
from .yaml_bodies import BODY, BodyReader
from .yaml_hints import is_section
from .yaml_nodes import Mapping, Node, Scalar, compose
from .yaml_nodes import Sequence as Items

FILE = ("import", "param", "variant", "default", "block", "net", "train")
STEP = ("updates", *STEP_SETTINGS, "values", "loss", "metric")


def read_yaml(text: str, path: str) -> File:
    """The tree of a YAML spec.

    Raises:
        SpecError: everything that is wrong with its text and structure.
    """
    file, found = read_readable(text, path)
    if found:
        raise SpecError(found, {path: text})
    return file


def read_readable(text: str, path: str) -> tuple[File, tuple[Diagnostic, ...]]:
    """The tree of what can be read of a YAML spec, and what is wrong with the rest."""
    reader = _Reader(source(path, text))
    try:
        root = compose(text, path, reader.findings)
    except SpecError as error:
        told = {each.place.line for each in reader.findings.diagnostics if each.place}
        for found in error.diagnostics:
            place = found.place or Place(path, 1, 1, 2)
            if place.line not in told:  # what follows an alias on its line is no YAML either
                reader.fail(found.code, found.message, place, found.hint)
        return FileParts().file(path, text), reader.findings.in_order()
    if root is None or (isinstance(root, Scalar) and root.empty):
        reader.fail(
            "E110", "an empty file", Place(path, 1, 1, 2), "write a `net:`; `weft new` starts one"
        )
        file = FileParts().file(path, text)
    else:
        file = reader.file(root).file(path, text)
    check_names(file, reader.findings)
    return file, reader.findings.in_order()


class _Reader(BodyReader):
    """The sections of a file around its bodies."""

    # ------------------------------------------------------------ the file

    def file(self, root: Node) -> FileParts:
        parts = FileParts()
        for key, node in self.pairs(root, "the file", FILE):
            if isinstance(node, Mapping) and key.value in ("block", "net"):
                self.cut = any(is_section(name.value, value, BODY) for name, value in node.pairs)
            match key.value:
                case "import":
                    parts.imports += self.imports(node)
                case "param":
                    parts.params += self.settings(node, "`param`")
                case "variant":
                    for name, value in self.pairs(node, "`variant`"):
                        settings = self.settings(value, f"variant `{name.value}`")
                        parts.variants.append(Variant(self.name(name), settings, name.place))
                case "default":
                    parts.defaults += self.defaults(node)
                case "block":
                    parts.blocks += [
                        self.block(name, value)
                        for name, value in self.pairs(node, "`block`")
                        if not self.misplaced(name, value, "block")
                    ]
                case "net":
                    for name, value in self.pairs(node, "`net`"):
                        if self.misplaced(name, value, "net"):
                            continue
                        parts.nets.append(
                            Net(self.name(name), self.body(value, "the net"), name.place)
                        )
                case _:
                    parts.train = self.train(node, key.place)
        return parts

    def misplaced(self, name: Scalar, value: Node, what: str) -> bool:
        """Whether a section of a body stands where the bodies do: it is indented too little."""
        if not is_section(name.value, value, BODY):
            return False
        hint = "indent it as deep as the other sections of the body"
        self.fail("E203", f"`{name.value}` is no {what}", name.place, hint)
        return True

    def imports(self, node: Node) -> list[Import]:
        read = []
        for item in node.items if isinstance(node, Items) else [node]:
            if not isinstance(node, Items) or not isinstance(item, Scalar) or not item.quoted:
                hint = 'for instance `import: ["blocks.weft"]`'
                self.fail("E113", "`import` must be a list of quoted paths", item.place, hint)
            else:
                read.append(
                    Import(self.actions.checked_text(item.value, item.place).value, item.place)
                )
        return read

    def block(self, key: Scalar, node: Node) -> Block:
        header = self.part(key, "header", "a block", lambda place: Header(key.value, (), place))
        return Block(header.name, header.parameters, self.body(node, "the block"), header.place)

    # ------------------------------------------------------------ training

    def train(self, node: Node, place: Place) -> Train:
        settings: list[Setting] = []
        data: list[Data] = []
        steps = []
        for key, value in self.pairs(node, "`train`"):
            if key.value == "data":
                data += [self.data(names, source) for names, source in self.pairs(value, "`data`")]
            elif key.value == "step":
                read = [self.step(name, body) for name, body in self.pairs(value, "`step`")]
                steps += [step for step in read if step is not None]
            else:
                settings.append(Setting(self.name(key), self.expr(value), key.place))
        return Train(tuple(settings), tuple(data), tuple(steps), place)

    def data(self, key: Scalar, node: Node) -> Data:
        names = self.names(key)
        types: list[Type | None] = [None] * len(names.ids)
        source_node = node
        if isinstance(node, Mapping):
            given = {k.value: value for k, value in self.pairs(node, "`data`", ("type", "from"))}
            if "from" not in given:
                self.fail(
                    "E116", "`data` needs `from`", key.place, "for instance `from: mnist(batch=64)`"
                )
                return data_of(names.ids, names.places, types, Name("_", key.place), self.findings)
            source_node = given["from"]
            if "type" in given:
                listed = given["type"]
                types = [
                    self.type(each)
                    for each in (listed.items if isinstance(listed, Items) else [listed])
                ]
                if len(types) != len(names.ids):
                    types = [None] * len(names.ids)
                    self.fail(
                        "E207",
                        "give a type to all names of this data line or to none",
                        given["type"].place,
                    )
        return data_of(names.ids, names.places, types, self.expr(source_node), self.findings)

    def step(self, key: Scalar, node: Node) -> Any:
        before = len(self.findings.diagnostics)
        given = {k.value: (k, value) for k, value in self.pairs(node, f"step `{key.value}`", STEP)}
        if "updates" not in given and len(self.findings.diagnostics) == before:
            self.fail(
                "E208", f"step `{key.value}` has no `updates`", key.place, "name the nets it trains"
            )
        updates = self.names(given["updates"][1]) if "updates" in given else Names((), ())
        parts = StepParts(self.name(key), updates.ids, updates.places)
        for name, (at, value) in given.items():
            if name in STEP_SETTINGS:
                parts.settings.append(Setting(name, self.expr(value), at.place))
            elif name == "values":
                parts.values += self.values(value)
            elif name == "loss":
                parts.loss = self.flow(value)
            elif name == "metric":
                for each, flow in self.pairs(value, "`metric`"):
                    parts.metrics.append(Metric(self.name(each), self.flow(flow), each.place))
        parts.whole = len(self.findings.diagnostics) == before
        return parts.step(key.place, self.findings)
