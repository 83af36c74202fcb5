"""Native kernels: C++ behind a plain C interface, compiled for every instruction level when the package is installed.

Whatever they compute has a reference in PyTorch, which takes their place where there is no compiler.
"""
