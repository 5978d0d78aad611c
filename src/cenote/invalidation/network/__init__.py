"""The network reach: machines that share a log at a Redis or Valkey server."""
