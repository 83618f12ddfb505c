"""From a syntax tree to nodes: names looked up, kinds checked, everything unknown refused.

The grammar is the method `_Compiler.meanings`: syntax that it does not name is refused.
"""

from __future__ import annotations

import ast
from functools import partial
from operator import itemgetter
from typing import Final

import numpy as np

from madminer.errors import ExpressionError
from madminer.expressions.functions import (
    ATTRIBUTES,
    COMPARISONS,
    CONSTANTS,
    FUNCTIONS,
    METHODS,
    OPERATORS,
)
from madminer.expressions.kernels import compare_chain
from madminer.expressions.nodes import (
    Apply,
    Comprehension,
    Constant,
    Kind,
    Name,
    Node,
    Overload,
    Variable,
    Vocabulary,
    steps,
)
from madminer.expressions.syntax import forbidden, known, parse, refuse

_MOST_LOOPS: Final = 3
"""Largest number of comprehensions inside each other."""

_MOST_STEPS: Final = 10_000
"""Largest number of values that an expression may compute in an event, see `steps`."""

_SINGLE: Final = frozenset({Kind.NUMBER, Kind.PARTICLE})
_LISTS: Final = frozenset({Kind.NUMBERS, Kind.PARTICLES})

_REMEDIES: Final = {
    Kind.NUMBER: "a number has neither properties nor elements",
    Kind.PARTICLE: "use one of its attributes, such as {source}.pt",
    Kind.PARTICLES: "pick one particle, such as {source}[0].pt, or use len({source})",
    Kind.NUMBERS: "pick one, or use len, sum, min, max, any or all",
}

_ATOMS: Final = (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.List, ast.Constant)
"""What binds as strongly as the attribute or index that follows it."""


def compile_tree(text: str, vocabulary: Vocabulary) -> Node:
    """Compile an expression for one number per event.

    Args:
        text: Expression, without spaces at its ends.
        vocabulary: Names that it may use.

    Returns:
        Root of the tree, of kind number.

    Raises:
        ExpressionError: If anything in it is unknown, forbidden or of the wrong kind.
    """
    syntax = parse(text)
    root = _Compiler(text, vocabulary).one(syntax, frozenset({Kind.NUMBER}), "the result")
    n_steps = steps(root)
    if n_steps > _MOST_STEPS:
        raise refuse(
            text,
            syntax,
            f"it takes {n_steps} steps in an event, as its loops run over lists that are "
            f"written out; up to {_MOST_STEPS} are allowed.",
        )
    return root


class _Compiler:
    """Walks down a syntax tree, inside the comprehensions that bind the given variables."""

    def __init__(
        self,
        text: str,
        vocabulary: Vocabulary,
        variables: tuple[tuple[str, Variable], ...] = (),
    ) -> None:
        self.text = text
        self.vocabulary = vocabulary
        self.variables = variables
        self.scope = dict(variables)  # of two variables of one name, the inner one

    def refusal(self, syntax: ast.AST, reason: str) -> ExpressionError:
        return refuse(self.text, syntax, reason)

    def source(self, syntax: ast.expr) -> str:
        return ast.get_source_segment(self.text, syntax) or ast.unparse(syntax)

    def meanings(self, syntax: ast.expr) -> tuple[Node, ...]:
        """What the syntax can stand for, the preferred meaning first; only names have several."""
        match syntax:
            case ast.Name():
                return self.name(syntax)
            case ast.Constant():
                node = self.constant(syntax)
            case ast.BinOp(op=op, left=left, right=right):
                node = self.operator(syntax, op, [left, right])
            case ast.UnaryOp(op=op, operand=operand):
                node = self.operator(syntax, op, [operand])
            case ast.BoolOp(op=op, values=values):
                node = self.operator(syntax, op, values)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                node = self.operator(syntax, syntax, [test, body, orelse])
            case ast.Compare():
                node = self.comparison(syntax)
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                if not elements:
                    raise self.refusal(syntax, "a list must not be empty.")
                node = self.apply(syntax, *OPERATORS[ast.List], elements)
            case ast.Subscript():
                node = self.subscript(syntax)
            case ast.Attribute():
                node = self.attribute(syntax)
            case ast.Call():
                node = self.call(syntax)
            case ast.ListComp() | ast.GeneratorExp():
                node = self.loop(syntax)
            case _:
                raise self.refusal(syntax, forbidden(syntax))
        return (node,)

    def one(self, syntax: ast.expr, kinds: frozenset[Kind], role: str) -> Node:
        """The meaning of one of the given kinds."""
        nodes = self.meanings(syntax)
        for node in nodes:
            if node.kind in kinds:
                return node
        raise self.mismatch(syntax, nodes[0].kind, kinds, role)

    def mismatch(
        self, syntax: ast.expr, kind: Kind, kinds: frozenset[Kind], role: str
    ) -> ExpressionError:
        """Something of a kind stands where other kinds are expected."""
        expected = " or ".join(f"a {kind}" for kind in sorted(kinds))
        source = self.source(syntax)
        is_atom = isinstance(ast.parse(f"({source}\n)", mode="eval").body, _ATOMS)
        remedy = _REMEDIES[kind].format(source=source if is_atom else f"({source})")
        return self.refusal(syntax, f"{role} must be {expected}, but this is a {kind}; {remedy}.")

    # Leaves

    def constant(self, syntax: ast.Constant) -> Node:
        if not isinstance(syntax.value, bool | int | float):
            raise self.refusal(syntax, "only numbers, True and False can stand here.")
        try:
            value = float(syntax.value)
        except OverflowError:
            value = np.inf
        if not np.isfinite(value):
            raise self.refusal(syntax, "the number is too large.")
        return Constant(value)

    def name(self, syntax: ast.Name) -> tuple[Node, ...]:
        name = self.vocabulary.spelling(syntax.id)
        if syntax.id in self.scope:
            return (self.scope[syntax.id],)
        if kinds := self.vocabulary.kinds(name):
            return tuple(Name(name, kind) for kind in kinds)
        if name in self.vocabulary.observables:
            raise self.refusal(
                syntax,
                f"{name!r} is an observable, and observables cannot use other observables (cuts "
                f"and efficiencies can): write out its definition.",
            )
        if name in CONSTANTS:
            return (Constant(CONSTANTS[name]),)
        if name in FUNCTIONS:
            raise self.refusal(syntax, f"{name!r} is a function: write {name}(...).")
        if name in {"math", "np", "numpy"}:
            raise self.refusal(syntax, "functions stand without a module, such as sqrt(...).")
        names = self.vocabulary.names | self.scope.keys()
        raise self.refusal(syntax, f"unknown name {name!r}; {known(name, names)}")

    # Operators

    def operator(self, syntax: ast.expr, operation: ast.AST, operands: list[ast.expr]) -> Node:
        if type(operation) not in OPERATORS:
            raise self.refusal(syntax, forbidden(operation))
        return self.apply(syntax, *OPERATORS[type(operation)], operands)

    def comparison(self, syntax: ast.Compare) -> Node:
        for operation in syntax.ops:
            if type(operation) not in COMPARISONS:
                raise self.refusal(syntax, forbidden(operation))
        entries = [COMPARISONS[type(operation)] for operation in syntax.ops]
        operands = [syntax.left, *syntax.comparators]
        if len(entries) == 1:
            return self.apply(syntax, *entries[0], operands)
        if any(overloads[0].kind(1) is not Kind.NUMBER for _, overloads in entries):
            raise self.refusal(syntax, "'in' has no place in a chain of comparisons: write 'and'.")
        chain = partial(compare_chain, tuple(overloads[0].kernel for _, overloads in entries))
        label = " ".join(sign for sign, _ in entries)
        overload = Overload(chain, (Kind.NUMBER,) * len(operands))
        return self.apply(syntax, label, (overload,), operands)

    # Elements, attributes, calls

    def subscript(self, syntax: ast.Subscript) -> Node:
        if isinstance(syntax.slice, ast.Slice):
            return self.section(syntax, syntax.slice)
        node = self.apply(syntax, *OPERATORS[ast.Subscript], [syntax.value, syntax.slice])
        index = node.arguments[1] if isinstance(node, Apply) else node
        if isinstance(index, Constant) and not index.value.is_integer():
            raise self.refusal(syntax.slice, "an index must be a whole number.")
        return node

    def section(self, syntax: ast.Subscript, bounds: ast.Slice) -> Node:
        if bounds.step is not None:
            raise self.refusal(syntax, "slices have no step: write [first:last].")
        first = self.bound(bounds.lower, 0.0)
        last = self.bound(bounds.upper, np.inf)
        sign, overloads = OPERATORS[ast.Slice]
        kept = self.one(syntax.value, _LISTS, "what is sliced")
        overload = next(choice for choice in overloads if choice.arguments[0] is kept.kind)
        self.check_list(syntax.value, overload, kept)
        return self.built(syntax, sign, overload, [kept, first, last])

    def bound(self, syntax: ast.expr | None, default: float) -> Constant:
        if syntax is None:
            return Constant(default)
        node = self.one(syntax, frozenset({Kind.NUMBER}), "the end of a slice")
        if not (isinstance(node, Constant) and node.value.is_integer()):
            raise self.refusal(syntax, "the ends of a slice must be constant whole numbers.")
        return node

    def attribute(self, syntax: ast.Attribute) -> Node:
        owner = self.owner(syntax)
        if syntax.attr in METHODS:
            raise self.refusal(syntax, f"{syntax.attr!r} is a method: write .{syntax.attr}(...).")
        if syntax.attr not in ATTRIBUTES:
            names = known(syntax.attr, ATTRIBUTES)
            raise self.refusal(syntax, f"particles have no attribute {syntax.attr!r}; {names}")
        column = ATTRIBUTES[syntax.attr]
        overload = Overload(itemgetter(column), (Kind.PARTICLE,))
        return self.built(syntax, f".{column}", overload, [owner])

    def owner(self, syntax: ast.Attribute) -> Node:
        """The particle whose attribute or method is meant."""
        nodes = self.meanings(syntax.value)
        for node in nodes:
            if node.kind is Kind.PARTICLE:
                return node
        source, attr, kind = self.source(syntax.value), syntax.attr, nodes[0].kind
        hint = ""
        if kind is Kind.PARTICLES and attr in ATTRIBUTES.keys() | METHODS.keys():
            call = "(...)" if attr in METHODS else ""
            hint = f": did you mean {source}[0].{attr}{call}?"
        raise self.refusal(
            syntax, f"{source!r} is a {kind} and has no attribute {attr!r}{hint or '.'}"
        )

    def call(self, syntax: ast.Call) -> Node:
        if syntax.keywords:
            raise self.refusal(syntax, "functions take no keyword arguments.")
        if isinstance(syntax.func, ast.Attribute):
            return self.method(syntax, syntax.func)
        if not isinstance(syntax.func, ast.Name):
            raise self.refusal(syntax, "only functions and methods can be called, by their name.")
        name = syntax.func.id
        if name not in FUNCTIONS:
            what = f"{name!r} is no function" if name in self.vocabulary.names else ""
            reason = f"{what or f'unknown function {name!r}'}; {known(name, FUNCTIONS)}"
            raise self.refusal(syntax.func, reason)
        return self.apply(syntax, name, FUNCTIONS[name], syntax.args)

    def method(self, syntax: ast.Call, function: ast.Attribute) -> Node:
        owner = self.owner(function)
        name = function.attr
        if name in ATTRIBUTES:
            reason = f"{name!r} is no method: leave out the parentheses."
            raise self.refusal(syntax, reason)
        if name not in METHODS:
            reason = f"particles have no method {name!r}; {known(name, METHODS)}"
            raise self.refusal(syntax, reason)
        nodes = [(owner,), *map(self.meanings, syntax.args)]
        operands = [function.value, *syntax.args]
        return self.apply(syntax, f".{name}", METHODS[name], operands, nodes)

    # Overloads

    def apply(
        self,
        syntax: ast.expr,
        label: str,
        overloads: tuple[Overload, ...],
        operands: list[ast.expr],
        nodes: list[tuple[Node, ...]] | None = None,
    ) -> Node:
        """Apply the first overload for which each operand has a meaning of the right kind."""
        nodes = list(map(self.meanings, operands)) if nodes is None else nodes
        fitting = [overload for overload in overloads if overload.accepts(len(nodes))]
        if not fitting:
            raise self.refusal(syntax, _wrong_number(label, overloads, len(nodes)))
        for overload in fitting:
            options = [
                [node for node in meanings if node.kind is overload.kind(position)]
                for position, meanings in enumerate(nodes)
            ]
            if all(options):
                chosen = [first for first, *_ in options]
                for operand, node in zip(operands, chosen, strict=True):
                    self.check_list(operand, overload, node)
                return self.built(syntax, label, overload, chosen)
        for position, (operand, meanings) in enumerate(zip(operands, nodes, strict=True)):
            kinds = frozenset(overload.kind(position) for overload in fitting)
            if not any(node.kind in kinds for node in meanings):
                role = f"what {label!r} works on"
                raise self.mismatch(operand, meanings[0].kind, kinds, role)
        kinds_given = " and ".join(f"a {meanings[0].kind}" for meanings in nodes)
        raise self.refusal(syntax, f"{label!r} does not work on {kinds_given} together.")

    def check_list(self, syntax: ast.expr, overload: Overload, node: Node) -> None:
        is_generator = isinstance(node, Comprehension) and node.is_lazy
        if is_generator and not overload.is_lazy:
            raise self.refusal(syntax, "a generator is no list: put it in square brackets.")

    def built(
        self, syntax: ast.expr, label: str, overload: Overload, arguments: list[Node]
    ) -> Node:
        """The node, or its value where it is a constant number."""
        node = Apply(label, overload.kernel, tuple(arguments), overload.result)
        if node.depth >= 0 or node.kind is not Kind.NUMBER:
            return node
        with np.errstate(all="ignore"):
            value = float(np.asarray(_constant_value(node)).item())
        if not np.isfinite(value):
            raise self.refusal(syntax, "this is undefined, or too large, in every event.")
        return Constant(value)

    # Loops

    def loop(self, syntax: ast.ListComp | ast.GeneratorExp) -> Node:
        if len(syntax.generators) > 1:
            raise self.refusal(syntax, "a comprehension loops over one list: nest two instead.")
        generator = syntax.generators[0]
        if generator.is_async or not isinstance(generator.target, ast.Name):
            raise self.refusal(generator.target, "a comprehension has one variable: for x in ...")
        if len(self.variables) == _MOST_LOOPS:
            raise self.refusal(syntax, f"up to {_MOST_LOOPS} comprehensions inside each other.")
        iterable = self.one(generator.iter, _LISTS, "what is looped over")
        self.check_list(generator.iter, OPERATORS[ast.Subscript][1][0], iterable)
        is_number = iterable.kind is Kind.NUMBERS
        variable = Variable(len(self.variables) + 1, Kind.NUMBER if is_number else Kind.PARTICLE)
        bound = (generator.target.id, variable)
        inner = _Compiler(self.text, self.vocabulary, (*self.variables, bound))
        tests = generator.ifs
        condition = inner.apply(tests[0], *OPERATORS[ast.And], tests) if tests else None
        element = inner.one(syntax.elt, _SINGLE, "an element of a list")
        is_lazy = isinstance(syntax, ast.GeneratorExp)
        return Comprehension(iterable, element, condition, variable.depth, is_lazy)


def _constant_value(node: Node) -> object:
    if isinstance(node, Constant):
        return node.value
    if isinstance(node, Apply):
        return node.kernel(*(_constant_value(argument) for argument in node.arguments))
    raise TypeError(f"{node} is not constant")  # pragma: no cover


def _wrong_number(label: str, overloads: tuple[Overload, ...], n_given: int) -> str:
    """Why that many arguments do not fit."""
    hidden = int(label.startswith("."))  # the particle of a method is not counted by users
    numbers = sorted({len(overload.arguments) - hidden for overload in overloads})
    expected = " or ".join(str(number) for number in numbers)
    more = " or more" if any(overload.is_variadic for overload in overloads) else ""
    noun = "argument" if expected == "1" and not more else "arguments"
    return f"{label!r} takes {expected}{more} {noun}, got {n_given - hidden}."
