# SPDX-License-Identifier: Apache-2.0
"""Functions and classes by content: exported once by whoever calls them, loaded once by whoever runs them.

A record is the pickle, by value, of (name, function), and of the function's traits if it has any. Its key is a hash of
the record, so two processes that ship the same function meet in the same entry, and a name given by
`.options(name=...)` travels with the function it names.
"""

from __future__ import annotations

from _pickle import loads  # the C one, without the millisecond of `pickle`
from collections.abc import Callable
from typing import Any, NamedTuple

from shoal._core._node import ObjectRef, with_refs
from shoal.errors import SerializationError
from shoal.ids import FunctionKey, function_key
from shoal.task.traits import PLAIN, Traits

KEY_PREFIX_BYTES = 8  # what an error that the core seals says of a key


Exported = tuple[tuple[str, int], FunctionKey]
"""Which job knows a function, by its node's session and its root, and by what key."""


class Loaded(NamedTuple):
    """A function or class ready to run."""

    name: str
    function: Callable[..., Any]


class FunctionTable:
    """One process's view of the node's functions.

    `put(key, blob, name)` hands a record to the daemon, `fetch(key)` brings one back (None if nobody exported it).
    """

    def __init__(
        self, put: Callable[[FunctionKey, bytes, str], None], fetch: Callable[[FunctionKey], bytes | None]
    ) -> None:
        self._put = put
        self._fetch = fetch
        self._exported: dict[FunctionKey, str] = {}  # to their names
        self._records: dict[bytes, bytes] = {}  # learned, not loaded yet
        self._loaded: dict[bytes, Loaded] = {}
        self._ready: dict[bytes, Loaded] = {}  # those whose calls are not counted
        self._n_calls: dict[bytes, int] = {}  # of those whose calls are
        self._traits: dict[bytes, Traits] = {}  # of those loaded that have any
        self.find: Callable[[bytes], Loaded | None] = self._ready.get  # `begin_call` without a frame; None: ask that
        self.on_last_call: Callable[[], None] = _nothing  # this process has begun the last call that it may run
        self._key_by_id: dict[int, FunctionKey] = {}  # ids stay valid: `_loaded` keeps the functions

    def export(self, name: str, function: Callable[..., Any], traits: Traits = PLAIN) -> FunctionKey:
        """Make `function` known to the node -> its key. Raises SerializationError naming what cannot be shipped."""
        # A function that was loaded here and calls itself keeps its key: pickling it again would make a second copy.
        key = self._key_by_id.get(id(function))
        if key is not None and self._loaded[key].name == name and self.traits(key) == traits:
            return key
        blob = pickle_record(name, function, traits)
        key = function_key(blob)
        if key not in self._exported:
            self._put(key, blob, name)
            self._exported[key] = name
        return key

    def learn(self, key: bytes, record: bytes) -> None:
        """Keep a record that came unasked, so that `load` need not fetch it."""
        self._records[key] = record

    def load(self, key: bytes) -> Loaded:
        """The function of `key`. Raises SerializationError if it is unknown or cannot be loaded in this process."""
        loaded = self._loaded.get(key)
        return loaded if loaded is not None else self._load(FunctionKey(key))

    def begin_call(self, key: bytes) -> Loaded:
        """`load` for a call that this process is about to run, which is counted if the function has `max_calls`."""
        loaded = self.load(key)
        max_calls = self.traits(key).max_calls
        if max_calls:
            n_calls = self._n_calls[key] = self._n_calls.get(key, 0) + 1
            if n_calls >= max_calls:
                self.on_last_call()
        return loaded

    def name_of(self, prefix: int) -> str:
        """The name of the function whose key begins so, as a little-endian number; "" if it is not known here."""
        start = prefix.to_bytes(KEY_PREFIX_BYTES, "little")
        known = [*self._exported.items(), *((key, loaded.name) for key, loaded in self._loaded.items())]
        return next((name for key, name in known if key.startswith(start)), "")

    def traits(self, key: bytes) -> Traits:
        """The traits of a loaded function."""
        return self._traits.get(key, PLAIN)

    def _load(self, key: FunctionKey) -> Loaded:
        blob = self._records.pop(key, None) or self._fetch(key)
        if blob is None:
            raise SerializationError(f"the node has no function {key.hex()}; it was exported by a node that is gone")
        try:
            name, function, *traits = loads(blob)
        except Exception as failure:
            raise SerializationError(
                f"a function cannot be loaded on the worker: {type(failure).__name__}: {failure}; "
                "workers import modules from the driver's sys.path and run the same Python"
            ) from failure
        loaded = self._loaded[key] = Loaded(name, function)
        self._key_by_id[id(function)] = key
        if traits:
            self._traits[key] = traits[0]
        if not self.traits(key).max_calls:
            self._ready[key] = loaded
        return loaded


def _nothing() -> None:
    """Nobody wants to be told."""


def pickle_record(name: str, function: Callable[..., Any], traits: Traits = PLAIN) -> bytes:
    """The record of a function or class, with everything it captures."""
    # cloudpickle's 15 ms are paid at the first export instead of at import.
    from shoal.serialization.blame import explain_function
    from shoal.serialization.by_value import dumps

    content = (name, function) if traits == PLAIN else (name, function, traits)
    refs: list[ObjectRef[Any]] = []
    try:
        record = with_refs(refs, dumps, content)
    except Exception as failure:
        raise explain_function(function, name, failure) from failure
    # Refs that it captures are kept until the job ends, as the function is; not those of one that does not pickle.
    return dumps(content) if refs else record
