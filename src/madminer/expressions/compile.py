"""From a syntax tree to nodes: names looked up, kinds checked, everything unknown refused.

The rules at the end are the whole grammar: syntax without a rule is refused.

**From text to a syntax tree: Python's own parser, within limits of size.**

Nothing is executed here or later; the tree is only read.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable
from operator import itemgetter
from typing import Final

import numpy as np

from madminer.errors import ExpressionError
from madminer.expressions.arithmetic import Chain
from madminer.expressions.functions import (
    ATTRIBUTES,
    COMPARISONS,
    CONSTANTS,
    FUNCTIONS,
    METHODS,
    OPERATORS,
)
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
    choose,
    steps,
)
from madminer.expressions.refusal import forbidden, known, mismatch, refuse, refuse_at, wrong_number

_LONGEST: Final = 5000
"""Largest number of characters of an expression."""

_DEEPEST: Final = 80
"""Largest number of operations inside each other: far from Python's own limit of recursion."""


_LOGIC: Final = {"&&": "and", "||": "or", "!": "not"}
_LOGIC_SIGN: Final = re.compile(r"&&|\|\||!(?!=)")
"""Logic as C++ and ROOT write it, and as Python does."""


def parse(text: str) -> ast.expr:
    """Parse an expression.

    Args:
        text: Expression in Python syntax, without spaces at its ends.

    Returns:
        Its syntax tree.

    Raises:
        ExpressionError: If the text is empty, too long, nested too deeply or no expression.
    """
    if not text:
        raise ExpressionError("An expression must not be empty.")
    if len(text) > _LONGEST:
        raise ExpressionError(
            f"An expression may have up to {_LONGEST} characters, got {len(text)}: split it into "
            f"several observables or write a function."
        )
    root = _parse(text)
    if _depth(root) > _DEEPEST:
        raise _too_deep(text)
    return root


def _parse(text: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SyntaxWarnings about odd but valid number literals
            return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        if sign := _LOGIC_SIGN.search(text):
            raise _foreign_logic(text, sign) from None
        # Python gives column 0 for a fault at the end of the text.
        column = error.offset - 1 if error.offset else len(text)
        raise refuse_at(text, error.lineno or 1, column, 1, f"{error.msg}.") from None
    except (MemoryError, RecursionError):
        raise _too_deep(text) from None
    except ValueError:
        reason = "null characters or numbers with thousands of digits."
        raise refuse_at(text, 1, 0, 1, reason) from None


def _foreign_logic(text: str, sign: re.Match[str]) -> ExpressionError:
    """The error for a sign of another language."""
    before = text[: sign.start()].split("\n")
    reason = f"write {_LOGIC[sign[0]]!r} for {sign[0]!r}; logic is 'and', 'or' and 'not'."
    return refuse_at(text, len(before), len(before[-1]), len(sign[0]), reason)


def _depth(root: ast.AST) -> int:
    """Length of the longest branch, without recursion."""
    deepest, stack = 0, [(root, 1)]
    while stack:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        stack.extend((child, depth + 1) for child in ast.iter_child_nodes(node))
    return deepest


def _too_deep(text: str) -> ExpressionError:
    reason = f"more than {_DEEPEST} operations inside each other; split it into several"
    return refuse_at(text, 1, 0, 1, f"{reason} observables.")


_MOST_LOOPS: Final = 3
"""Largest number of comprehensions inside each other."""

_MOST_STEPS: Final = 10_000
"""Largest number of values that an expression may compute in an event, see `steps`."""

_LISTS: Final = frozenset({Kind.NUMBERS, Kind.PARTICLES})


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
        if type(syntax) is ast.Name:
            return self.name(syntax)
        rule = _RULES.get(type(syntax))
        if rule is None:
            raise self.refusal(syntax, forbidden(syntax))
        return (rule(self, syntax),)

    def one(self, syntax: ast.expr, kinds: frozenset[Kind], role: str) -> Node:
        """The meaning of one of the given kinds."""
        nodes = self.meanings(syntax)
        for node in nodes:
            if node.kind in kinds:
                return node
        raise self.refusal(syntax, mismatch(self.source(syntax), nodes[0].kind, kinds, role))

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

    def binary(self, syntax: ast.BinOp) -> Node:
        return self.operator(syntax, syntax.op, [syntax.left, syntax.right])

    def unary(self, syntax: ast.UnaryOp) -> Node:
        return self.operator(syntax, syntax.op, [syntax.operand])

    def logic(self, syntax: ast.BoolOp) -> Node:
        return self.operator(syntax, syntax.op, syntax.values)

    def choice(self, syntax: ast.IfExp) -> Node:
        return self.operator(syntax, syntax, [syntax.test, syntax.body, syntax.orelse])

    def display(self, syntax: ast.List | ast.Tuple) -> Node:
        if not syntax.elts:
            raise self.refusal(syntax, "a list must not be empty.")
        sign, overloads = OPERATORS[ast.List]
        return self.apply(syntax, sign, overloads, syntax.elts)

    def operator(self, syntax: ast.expr, operation: ast.AST, operands: list[ast.expr]) -> Node:
        if type(operation) not in OPERATORS:
            raise self.refusal(syntax, forbidden(operation))
        sign, overloads = OPERATORS[type(operation)]
        return self.apply(syntax, sign, overloads, operands)

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
        chain = Chain(tuple(overloads[0].kernel for _, overloads in entries))
        label = " ".join(sign for sign, _ in entries)
        overload = Overload(chain, (Kind.NUMBER,) * len(operands))
        return self.apply(syntax, label, (overload,), operands)

    # Elements, attributes, calls

    def subscript(self, syntax: ast.Subscript) -> Node:
        if isinstance(syntax.slice, ast.Slice):
            return self.section(syntax, syntax.slice)
        sign, overloads = OPERATORS[ast.Subscript]
        node = self.apply(syntax, sign, overloads, [syntax.value, syntax.slice])
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
        arguments = [self.meanings(argument) for argument in syntax.args]
        operands = [function.value, *syntax.args]
        return self.resolved(syntax, f".{name}", METHODS[name], operands, [(owner,), *arguments])

    # Overloads

    def apply(
        self,
        syntax: ast.expr,
        label: str,
        overloads: tuple[Overload, ...],
        operands: list[ast.expr],
    ) -> Node:
        nodes = [self.meanings(operand) for operand in operands]
        return self.resolved(syntax, label, overloads, operands, nodes)

    def resolved(
        self,
        syntax: ast.expr,
        label: str,
        overloads: tuple[Overload, ...],
        operands: list[ast.expr],
        nodes: list[tuple[Node, ...]],
    ) -> Node:
        """Apply the first overload for which each operand has a meaning of the right kind."""
        fitting = [overload for overload in overloads if overload.accepts(len(nodes))]
        if not fitting:
            raise self.refusal(syntax, wrong_number(label, overloads, len(nodes)))
        for overload in fitting:
            chosen = choose(overload, nodes)
            if chosen is not None:
                for operand, node in zip(operands, chosen, strict=True):
                    self.check_list(operand, overload, node)
                return self.built(syntax, label, overload, chosen)
        raise self.no_overload(syntax, label, fitting, operands, nodes)

    def no_overload(
        self,
        syntax: ast.expr,
        label: str,
        fitting: list[Overload],
        operands: list[ast.expr],
        nodes: list[tuple[Node, ...]],
    ) -> ExpressionError:
        for position, (operand, meanings) in enumerate(zip(operands, nodes, strict=True)):
            kinds = frozenset(overload.kind(position) for overload in fitting)
            if not any(node.kind in kinds for node in meanings):
                role = f"what {label!r} works on"
                reason = mismatch(self.source(operand), meanings[0].kind, kinds, role)
                return self.refusal(operand, reason)
        kinds_given = " and ".join(f"a {meanings[0].kind}" for meanings in nodes)
        return self.refusal(syntax, f"{label!r} does not work on {kinds_given} together.")

    def check_list(self, syntax: ast.expr, overload: Overload, node: Node) -> None:
        is_generator = isinstance(node, Comprehension) and node.is_lazy
        if is_generator and not overload.is_lazy:
            raise self.refusal(syntax, "a generator is no list: put it in square brackets.")

    def built(
        self, syntax: ast.expr, label: str, overload: Overload, arguments: list[Node]
    ) -> Node:
        node = Apply(label, overload.kernel, tuple(arguments), overload.result)
        if node.depth >= 0 or node.kind is not Kind.NUMBER:
            return node
        return self.folded(syntax, node)

    def folded(self, syntax: ast.expr, node: Apply) -> Constant:
        """The value of a constant part, computed now."""
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
        return self.loop_over(syntax, iterable, generator.target.id)

    def loop_over(
        self, syntax: ast.ListComp | ast.GeneratorExp, iterable: Node, target: str
    ) -> Node:
        is_number = iterable.kind is Kind.NUMBERS
        variable = Variable(len(self.variables) + 1, Kind.NUMBER if is_number else Kind.PARTICLE)
        inner = _Compiler(self.text, self.vocabulary, (*self.variables, (target, variable)))
        condition = inner.condition(syntax.generators[0].ifs)
        kinds = frozenset({Kind.NUMBER, Kind.PARTICLE})
        element = inner.one(syntax.elt, kinds, "an element of a list")
        is_lazy = isinstance(syntax, ast.GeneratorExp)
        return Comprehension(iterable, element, condition, variable.level, is_lazy)

    def condition(self, tests: list[ast.expr]) -> Node | None:
        if not tests:
            return None
        sign, overloads = OPERATORS[ast.And]
        return self.apply(tests[0], sign, overloads, tests)


def _constant_value(node: Node) -> object:
    if isinstance(node, Constant):
        return node.value
    if isinstance(node, Apply):
        return node.kernel(*(_constant_value(argument) for argument in node.arguments))
    raise TypeError(f"{node} is not constant")  # pragma: no cover


_RULES: Final[dict[type[ast.expr], Callable[..., Node]]] = {
    ast.Attribute: _Compiler.attribute,
    ast.BinOp: _Compiler.binary,
    ast.BoolOp: _Compiler.logic,
    ast.Call: _Compiler.call,
    ast.Compare: _Compiler.comparison,
    ast.Constant: _Compiler.constant,
    ast.GeneratorExp: _Compiler.loop,
    ast.IfExp: _Compiler.choice,
    ast.List: _Compiler.display,
    ast.ListComp: _Compiler.loop,
    ast.Subscript: _Compiler.subscript,
    ast.Tuple: _Compiler.display,
    ast.UnaryOp: _Compiler.unary,
}
"""The grammar: what may stand in an expression, besides names."""
