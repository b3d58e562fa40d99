# SPDX-License-Identifier: Apache-2.0
"""What runs in a worker process: the loop over tasks, and the hosts of sync, threaded and asyncio actors."""
