"""Volume rendering of tri-planes (Rodin, Sec. 3.1): the decoder, rays, the reference and the kernels held to it."""
