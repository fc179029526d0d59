"""What bench.py measures: kernels and layers, networks, steps; and how."""
