# SPDX-License-Identifier: Apache-2.0
"""What a call is made of before it reaches the core: validated options and exported functions."""
