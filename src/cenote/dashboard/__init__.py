"""The operator's page: static files that use the public HTTP API and nothing else."""

from cenote.dashboard.files import POLICY, PageFile, page_files

__all__ = ["POLICY", "PageFile", "page_files"]
