# SPDX-License-Identifier: Apache-2.0
"""What programs build on besides tasks, actors and objects. Each larger part is imported by its own name."""

from shoal.util.named_actors import list_named_actors

__all__ = ["list_named_actors"]
