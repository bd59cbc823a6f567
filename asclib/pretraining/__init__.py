"""Self-supervised pre-training: what a network can learn from clips before it is told a label."""

from asclib.pretraining import losses
from asclib.pretraining.methods import METHODS, SelfSupervised, objective, pretrain, two_views

__all__ = ["METHODS", "SelfSupervised", "losses", "objective", "pretrain", "two_views"]
