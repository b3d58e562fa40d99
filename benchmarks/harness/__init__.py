# SPDX-License-Identifier: Apache-2.0
"""Rounds, environments, statistics, bars, table and picture."""
