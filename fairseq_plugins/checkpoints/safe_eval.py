"""``eval`` for the strings of a checkpoint's configuration: literals and arithmetic, nothing that runs."""

from __future__ import annotations

import ast
import sys
import types
from typing import Any

from .safe_load import TRUST_VARIABLE, trusted

#: what an expression may hold: it computes with what it spells out, and has no names, calls or attributes
_ARITHMETIC = (
    *(ast.Expression, ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.Starred, ast.Load),
    *(ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator, ast.BoolOp, ast.boolop, ast.Compare, ast.cmpop, ast.IfExp),
    *(ast.Subscript, ast.Slice, ast.JoinedStr, ast.FormattedValue),
)


def evaluate(expression: Any, *namespaces: Any) -> Any:
    """``eval`` for literals and arithmetic on them, such as ``[(512, 3)] * 4``; anything at all if :func:`trusted`.

    Args:
        expression: text or bytes, as ``eval`` takes them; a code object only if trusted.
        namespaces: what ``eval`` looks names up in, if trusted; by default the caller's.

    Raises:
        ValueError: the string holds a name, a call or anything else that is no literal or arithmetic.
        TypeError: not a text, as ``eval`` says it (fairseq's ``eval_bool`` counts on it).
        SyntaxError: not an expression.
    """
    text = bytes(expression) if isinstance(expression, (bytearray, memoryview)) else expression
    if not trusted() and isinstance(text, (str, bytes, types.CodeType)):
        if isinstance(text, types.CodeType):
            raise ValueError(f"code was not evaluated; if you trust where it comes from, set {TRUST_VARIABLE}=1")
        tree = ast.parse(text.lstrip(" \t") if isinstance(text, str) else text.lstrip(b" \t"), mode="eval")
        for node in ast.walk(tree):
            if not isinstance(node, _ARITHMETIC):
                raise ValueError(
                    f"the configuration value {expression!r} is not a literal and was not evaluated; if you trust "
                    f"where it comes from, set {TRUST_VARIABLE}=1"
                )
        return eval(compile(tree, "<string>", "eval"), {})  # what was looked at is what runs
    if not namespaces:
        caller = sys._getframe(1)
        namespaces = (caller.f_globals, caller.f_locals)
    return eval(expression, *namespaces)
