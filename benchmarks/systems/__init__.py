# SPDX-License-Identifier: Apache-2.0
"""The systems measured against each other: one module for each kind."""
