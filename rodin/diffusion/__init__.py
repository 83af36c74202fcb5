"""Gaussian diffusion of tri-planes and of latents: schedule, losses, guidance, sampling (Rodin, Sec. 3.2 and 3.3)."""
