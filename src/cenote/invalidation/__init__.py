"""Invalidation logs: who learns of a clear, and how far its promise reaches."""
