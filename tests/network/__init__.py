"""Tests of the network reach, against real servers and real processes."""
