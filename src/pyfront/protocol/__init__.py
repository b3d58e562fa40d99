# SPDX-License-Identifier: Apache-2.0
"""What a node's processes say to each other, as bytes: messages, frames, and names in output streams. Pure, no I/O."""
