"""The names of stored things: a digest of all that they depend on."""

from __future__ import annotations

import hashlib


def digest(*parts: str | bytes) -> str:
    """Hash texts or bytes to 32 hexadecimal digits, which are the same on every machine."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogateescape")
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()
