"""Benchmarks: Cenote against other caching libraries, on one machine, interleaved."""
