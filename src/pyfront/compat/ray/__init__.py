# SPDX-License-Identifier: Apache-2.0
"""`import shoal.compat.ray as ray`: a program for Ray core runs with this one line changed.

Its submodules (`shoal.compat.ray.util.queue`, ...) are made from the table `shoal.compat.names` when they are imported.
What is not there raises an ImportError, or as an attribute an AttributeError, that names it and says what to use.
Once it is imported, a first use without `init` connects as its `init()` does."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from shoal import runtime
from shoal.compat import modules

if TYPE_CHECKING:  # at run time the table is asked, name by name
    from shoal._core._node import ObjectRef as ObjectRef
    from shoal._core._node import ObjectRefGenerator as ObjectRefGenerator
    from shoal.actor import method as method
    from shoal.actor_class import get_actor as get_actor
    from shoal.api import cancel as cancel
    from shoal.api import get as get
    from shoal.api import is_initialized as is_initialized
    from shoal.api import kill as kill
    from shoal.api import put as put
    from shoal.api import remote as remote
    from shoal.api import shutdown as shutdown
    from shoal.api import wait as wait
    from shoal.compat.connection import init as init
    from shoal.compat.context import get_runtime_context as get_runtime_context
    from shoal.compat.node import available_resources as available_resources
    from shoal.compat.node import cluster_resources as cluster_resources
    from shoal.compat.node import nodes as nodes
    from shoal.runtime_context import get_gpu_ids as get_gpu_ids
    from shoal.task.dynamic import DynamicObjectRefGenerator as DynamicObjectRefGenerator

modules.make_root(__name__)
runtime.on_first_use(lambda: import_module("shoal.compat.connection").init())
