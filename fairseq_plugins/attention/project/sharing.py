"""Which map makes queries, keys and values, where some of them share one."""

from __future__ import annotations

from collections.abc import Mapping

from ..groups import check_groups
from ..stages import Compatibility, Projection

ROLES = ("q", "k", "v")


def makers_of(projection: Projection, compatibility: Compatibility) -> dict[str, str]:
    """Role (``q``, ``k``, ``v``) -> the role whose map makes it: its own, or the one that it shares in the end.

    Raises:
        ValueError: keys are to be made by a query projection that does not exist.
    """
    shares = dict(projection.shares)
    if compatibility.shares_query_projection:
        if not projection.query_makes_keys:
            raise ValueError(
                "--attention-compatibility: keys would be made by the query projection, and --attention-projection "
                "has none here; choose the compatibility dot, or another projection"
            )
        shares["k"] = "q"
    makers = {role: role for role in ROLES}
    for role in ROLES:
        while makers[role] in shares:
            makers[role] = shares[makers[role]]
    return makers


def check_heads(makers: Mapping[str, str], heads: int, kv_heads: int) -> None:
    """Whether keys and values may have so many heads.

    Raises:
        ValueError: the query projection makes them, and has more.
    """
    check_groups(heads, kv_heads)
    if "q" in (makers["k"], makers["v"]) and kv_heads != heads:
        raise ValueError(
            f"--attention-kv-heads {kv_heads}: the query projection makes keys here, with its {heads} heads; leave the "
            "option out, or choose another --attention-projection or --attention-compatibility"
        )


def check_widths(makers: Mapping[str, str], widths: Mapping[str, int]) -> None:
    """Whether what shares a map is made of inputs of one width.

    Args:
        makers: see :func:`makers_of`.
        widths: role -> width of its input.

    Raises:
        ValueError: some inputs have other widths.
    """
    for role, maker in makers.items():
        if widths[role] != widths[maker]:
            raise ValueError(
                f"{role} and {maker} share a projection and are made of inputs of width {widths[role]} and "
                f"{widths[maker]}: choose --attention-projection and --attention-compatibility that share none here, "
                "or one width (cross-attention: --encoder-embed-dim, --decoder-embed-dim)"
            )
