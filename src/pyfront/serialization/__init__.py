# SPDX-License-Identifier: Apache-2.0
"""Values and errors as bytes, where the compiled pickling path hands over to Python."""
