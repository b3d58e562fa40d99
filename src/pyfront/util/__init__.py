# SPDX-License-Identifier: Apache-2.0
"""What programs build on besides tasks, actors and objects. Each part is imported by its own name."""
