"""What is noised how, and what a network predicts of it. Without torch, so that a command line may name the choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

MOST_STEPS = 100_000  # of a schedule, whose tables are as long

Prediction = Literal["epsilon", "v_prediction", "sample"]
Schedule = Literal["linear", "cosine", "shifted"]
Sampler = Literal["ancestral", "ddim", "dpm++"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DiffusionConfig:
    """What is noised how, and what the network predicts.

    Args:
        prediction: what the network gives: the noise, v = sqrt(abar) eps - sqrt(1 - abar) x_0, or x_0 ("sample").
        learned_variance: the network also gives the variance of each step, trained by the variational bound.
        schedule: how noise grows. "linear": log-SNR falls linearly, as in the paper; "cosine": Nichol & Dhariwal's;
            "shifted": RodinHD's, whose stronger noise suits planes, since they are more redundant than images.
        train_steps: T. 1 leaves nothing but noise to see: a plain decoder of z, the paper's auto-encoder baseline.
        zero_terminal_snr: the last step is pure noise (Lin et al. 2024).
        min_snr_gamma: a prediction's weight in x_0 terms is min(SNR, gamma) (Hang et al. 2023); 0 = plain L_simple.
        min_snr_plus: added to min(SNR, gamma). 1 makes it the error of v, in which every level of noise counts about
            alike (Salimans & Ho 2022, SNR + 1 weighting), but bounded.
    """

    prediction: Prediction = "v_prediction"
    learned_variance: bool = False
    schedule: Schedule = "shifted"
    train_steps: int = 1000
    zero_terminal_snr: bool = True
    min_snr_gamma: float = 0.0
    min_snr_plus: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in (("prediction", get_args(Prediction)), ("schedule", get_args(Schedule))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if not 1 <= self.train_steps <= MOST_STEPS:
            raise ValueError(f"train_steps must be 1 to {MOST_STEPS}, got {self.train_steps}")
        if self.min_snr_gamma < 0:
            raise ValueError(f"min_snr_gamma must be positive, or 0 for off, got {self.min_snr_gamma}")
        if self.min_snr_plus < 0 or (self.min_snr_plus and not self.min_snr_gamma):
            raise ValueError(f"min_snr_plus must be 0, or positive beside a min_snr_gamma, got {self.min_snr_plus}")
        if self.prediction == "epsilon" and self.zero_terminal_snr:
            raise ValueError(
                "prediction 'epsilon' says nothing about x_0 at zero_terminal_snr: predict 'v_prediction' or 'sample', "
                "or set zero_terminal_snr to false"
            )
        plain = self.prediction == "sample" and self.zero_terminal_snr
        if self.train_steps == 1 and not (plain and not self.learned_variance and not self.min_snr_gamma):
            raise ValueError(
                "train_steps 1 sees pure noise alone: it needs prediction 'sample', zero_terminal_snr, "
                "no learned_variance and min_snr_gamma 0"
            )
