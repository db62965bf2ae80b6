"""The blocks of a backbone: the units in which it is unfrozen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras

from tfxfer.backbones.families import Family, match_block_end
from tfxfer.errors import InputError, nearest


@dataclass(frozen=True)
class Block:
    """A run of operations that is frozen or unfrozen as one.

    Attributes:
        name: the block's name, unique in its backbone.
        layers: names of the layers in it that hold weights.
        parameters: number of their weights' elements.
        operations: names of all operations in it, with and without weights.
        end: name of the operation at which the block ends.
    """

    name: str
    layers: tuple[str, ...]
    parameters: int
    operations: frozenset[str]
    end: str


def list_blocks(backbone: keras.Model, family: Family) -> tuple[Block, ...]:
    """List the blocks of a backbone from input to output.

    A block is every ancestor of its ending operation that no earlier block holds. Endings without
    weights of their own (the addition behind a projection, say) extend the block before, and so
    does what follows the last ending.

    Raises:
        InputError: an operation with weights stands behind the last block's end.
    """
    claimed: set[str] = set()
    blocks: list[Block] = []
    for operation in backbone.operations:
        name = match_block_end(family, operation.name)
        if name is None:
            continue
        members = _unclaimed_ancestors(operation, claimed)
        names = frozenset(member.name for member in members)
        claimed |= names
        weighted = [member for member in members if getattr(member, "weights", None)]
        if weighted or not blocks:
            blocks.append(
                Block(
                    name=_unique(name or f"block{len(blocks) + 1}", blocks),
                    layers=tuple(member.name for member in weighted),
                    parameters=sum(member.count_params() for member in weighted),
                    operations=names,
                    end=operation.name,
                )
            )
        else:
            last = blocks.pop()
            blocks.append(replace(last, operations=last.operations | names, end=operation.name))
    left = [op.name for op in backbone.operations if getattr(op, "weights", None)]
    left = [name for name in left if name not in claimed]
    if left:
        raise InputError(
            f"Every layer with weights must lie in a block of the family. Received: "
            f"{backbone.name} with {left} outside of all blocks. Correct `block_end` of family "
            f"{family.name} in tfxfer/backbones/families.py."
        )
    return tuple(blocks)


def resolve_unfreeze(unfreeze: int | str, blocks: tuple[Block, ...]) -> int:
    """Return how many of the top blocks to unfreeze.

    Args:
        unfreeze: a number of blocks from the top, ``"all"``, or a block's name (that block and
            all above it).
        blocks: the backbone's blocks from input to output.

    Raises:
        InputError: the number is out of range, or no block has that name.
    """
    names = [block.name for block in blocks]
    if unfreeze == "all":
        return len(blocks)
    if isinstance(unfreeze, str):
        if unfreeze not in names:
            raise InputError(
                f"unfreeze must be a number from 0 to {len(blocks)}, 'all', or a block's name "
                f"({', '.join(names)}). Received: unfreeze={unfreeze!r}.{nearest(unfreeze, names)}"
            )
        return len(blocks) - names.index(unfreeze)
    if not 0 <= unfreeze <= len(blocks):
        raise InputError(
            f"unfreeze must be a number from 0 to {len(blocks)} (this backbone's blocks), 'all', "
            f"or a block's name. Received: unfreeze={unfreeze}. `--dry-run` shows the blocks."
        )
    return unfreeze


def _unclaimed_ancestors(operation, claimed: set[str]) -> list:
    """The operation and what leads to it, without the operations claimed already."""
    found, stack = {}, [operation]
    while stack:
        current = stack.pop()
        if current.name in claimed or current.name in found:
            continue
        found[current.name] = current
        for node in current._inbound_nodes:
            stack.extend(parent.operation for parent in node.parent_nodes)
    return list(found.values())


def _unique(name: str, blocks: list[Block]) -> str:
    taken = {block.name for block in blocks}
    return name if name not in taken else f"{name}_{len(blocks) + 1}"
