# SPDX-License-Identifier: Apache-2.0
"""The distributed half of `simulate_train_serve.py`: what runs where, and who waits for whom.

General layout (imports point down this list):
  training, serving    the stages as this program drives them: submit, wait, hand references on
  workers              the remote functions and classes
  report, display      what the reader of the terminal sees
  seeds                which episode gets which seed

The mathematics is in the package `rl` beside it, which is sequential and knows nothing of tasks and actors.
"""
