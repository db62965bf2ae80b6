"""The blocks of a backbone: the units in which it is unfrozen."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Protocol

import keras

from tfxfer.errors import InputError, nearest


@dataclass(frozen=True)
class Block:
    """A sequence of operations that is frozen or unfrozen as a whole.

    Attributes:
        name: The block's name, which is unique in its backbone.
        layers: The names of its layers that have weights.
        parameters: The number of elements of these weights.
        operations: The names of all its operations, with and without weights.
        end: The name of the operation at which the block ends.
        why_whole: Why the backbone has no other block; empty if it has others.
        why_frozen: Why the block cannot be trained; empty if it can.

    Example:
        >>> import tfxfer
        >>> config = tfxfer.BackboneConfig(name="MobileNetV2", weights="none", alpha=0.35)
        >>> block = tfxfer.build_backbone(config).blocks[-1]
        >>> block.name, block.parameters
        ('out', 148480)
    """

    name: str
    layers: tuple[str, ...]
    parameters: int
    operations: frozenset[str]
    end: str
    why_whole: str = ""
    why_frozen: str = ""


class HasBlocks(Protocol):
    """A row in a table of families, which says where the blocks of a network end."""

    @property
    def name(self) -> str: ...

    @property
    def block_end(self) -> str: ...


def list_blocks(backbone: keras.Model, family: HasBlocks) -> tuple[Block, ...]:
    """List the blocks of a backbone from input to output.

    A block consists of all ancestors of its last operation that no earlier block holds. If a block
    would have no weights (such as the addition behind a projection), its operations extend the
    block before.

    Args:
        backbone: A network without its top.
        family: The row that says at which operations blocks end.

    Returns:
        The blocks, which together hold every weight once.

    Raises:
        InputError: An operation with weights follows the end of the last block.

    Example:
        >>> import tfxfer
        >>> from tfxfer.modalities.pictures.networks.families import NETWORKS
        >>> config = tfxfer.BackboneConfig(name="MobileNetV2", weights="none", alpha=0.35)
        >>> network = tfxfer.build_backbone(config).network
        >>> [block.name for block in tfxfer.list_blocks(network, NETWORKS["MobileNetV2"])][:2]
        ['expanded_conv', 'block_1']
    """
    # A layer may be part of other networks, too, whose nodes do not count.
    nodes = {id(node) for level in backbone._nodes_by_depth.values() for node in level}
    claimed: set[str] = set()
    blocks: list[Block] = []
    for operation in backbone.operations:
        name = match_block_end(family.block_end, operation.name)
        if name is None:
            continue
        members = _unclaimed_ancestors(operation, claimed, nodes)
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
            f"{family.name} in tfxfer/backbones."
        )
    return tuple(blocks)


def resolve_unfreeze(unfreeze: int | str, blocks: tuple[Block, ...]) -> int:
    """Return how many of the top blocks to unfreeze.

    Args:
        unfreeze: A number of blocks from the top, ``"all"``, or the name of the lowest unfrozen
            block.
        blocks: The backbone's blocks from input to output.

    Raises:
        InputError: The number is out of range, no block has that name, or a block that cannot be
            trained would be unfrozen.
    """
    count = _count_unfrozen(unfreeze, blocks)
    if count and (why := blocks[-count].why_frozen):
        raise InputError(
            f"This backbone can only be used frozen: {why}. Received: unfreeze={unfreeze!r}. Take "
            "unfreeze=0 in every phase, such as --set phases.fine-tune.unfreeze=0"
        )
    return count


def _count_unfrozen(unfreeze: int | str, blocks: tuple[Block, ...]) -> int:
    names = [block.name for block in blocks]
    if unfreeze == "all":
        return len(blocks)
    if isinstance(unfreeze, int) and unfreeze > 0 and blocks[0].why_whole:
        raise InputError(
            f"unfreeze must be 0 or 'all' here: {blocks[0].why_whole}. Received: "
            f"unfreeze={unfreeze}. Train all of it, with --set phases.fine-tune.unfreeze=all, or "
            "take a Keras Applications or KerasHub backbone, which have blocks."
        )
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


def _unclaimed_ancestors(operation, claimed: set[str], nodes: set[int]) -> list:
    """Return an operation and its ancestors through some nodes, except those already claimed."""
    found, stack = {}, [operation]
    while stack:
        current = stack.pop()
        if current.name in claimed or current.name in found:
            continue
        found[current.name] = current
        for node in current._inbound_nodes:
            if id(node) in nodes:
                stack.extend(parent.operation for parent in node.parent_nodes)
    return list(found.values())


def _unique(name: str, blocks: list[Block]) -> str:
    taken = {block.name for block in blocks}
    return name if name not in taken else f"{name}_{len(blocks) + 1}"


def match_block_end(block_end: str, operation_name: str) -> str | None:
    """Return the block's name if a block ends at this operation.

    None means that no block ends here, and an empty string that the block has no name of its own.
    """
    found = re.match(block_end, operation_name)
    if found is None:
        return None
    return next((name for name in found.groupdict().values() if name), "")
