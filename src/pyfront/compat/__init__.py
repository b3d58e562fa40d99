# SPDX-License-Identifier: Apache-2.0
"""Shoal under the names of Ray, for programs that are written for it.

General layout: `names` is the table, Ray's public names and where Shoal has each, or why it has not; `modules` makes
modules of it; `ray` is their root. The other files hold what the two spell differently, one noun in each. `as_ray` is
the folder that `shoal as-ray` puts before all others, so that `import ray` means this."""
