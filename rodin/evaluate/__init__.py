"""How good a model is: figures and pictures in one report (see docs/evaluation.md for the protocol)."""
