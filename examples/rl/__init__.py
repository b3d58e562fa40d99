# SPDX-License-Identifier: Apache-2.0
"""Policy-gradient reinforcement learning in plain numpy: the pure half of `simulate_train_serve.py`.

Nothing in this package knows about tasks, actors or processes, so that each piece can be read, tested and run alone.

General layout (imports point down this list):
  learner       turns finished episodes into a better policy (PPO); what the training actor owns
  episode       plays one episode with a policy; what a rollout task runs
  policy        maps observations to actions; what travels from the trainer to everyone else
  advantages, objective, adam       the mathematics of one update
  distributions, network, scaling   what a policy is made of
  simulator     finds, builds and describes gymnasium simulators
  environment, trajectory           what is known of an environment; what is kept of an episode
  batching      gathers concurrent requests into batches; what the serving actor owns
"""
