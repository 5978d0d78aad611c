"""Query parameters that several operations share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from cenote.control.answers import invalid

__all__ = ["SERVICE_NAMES", "ServiceQuery"]

SERVICE_NAMES = frozenset({"serviceName", "service_name"})
"""Both spellings of the parameter."""


async def _service_query(
    service_name: Annotated[
        str | None,
        Query(alias="serviceName", description="The service's cache; absent: the global cache."),
    ] = None,
    snake: Annotated[str | None, Query(alias="service_name", include_in_schema=False)] = None,
) -> str | None:
    if service_name is not None and snake is not None:
        raise invalid(("query", "serviceName"), "serviceName and service_name are the same; send one of them")
    return service_name if snake is None else snake


ServiceQuery = Annotated[str | None, Depends(_service_query)]
"""The service's name from either spelling; None when neither was sent."""
