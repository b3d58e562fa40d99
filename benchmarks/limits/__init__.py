# SPDX-License-Identifier: Apache-2.0
"""What the machine itself allows: the bare ring and memcpy."""
