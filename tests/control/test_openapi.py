"""/openapi.json agrees with the contract."""

import pytest

OPERATIONS = {
    ("post", "/api/system/cache/clear"): (
        "clear_cache_api_system_cache_clear_post",
        "Clear Cache",
        "CacheClearRequest",
        "CacheClearResponse",
    ),
    ("post", "/api/system/performance/clear-cache"): (
        "clear_performance_cache_api_system_performance_clear_cache_post",
        "Clear Performance Cache",
        "CacheClearRequest",
        "CacheClearResponse",
    ),
    ("get", "/api/system/cache/status"): (
        "get_cache_status_api_system_cache_status_get",
        "Get Cache Status",
        None,
        "CacheStatusResponse",
    ),
    ("get", "/api/system/cache/stats"): (
        "get_cache_stats_api_system_cache_stats_get",
        "Get Cache Stats",
        None,
        "ComprehensiveCacheStatsResponse",
    ),
    ("get", "/api/system/cache/stats/{service}"): (
        "get_service_cache_stats_api_system_cache_stats__service__get",
        "Get Service Cache Stats",
        None,
        "ServiceCacheStatsResponse",
    ),
    ("delete", "/api/system/cache/invalidate"): (
        "invalidate_cache_entry_api_system_cache_invalidate_delete",
        "Invalidate Cache Entry",
        "CacheInvalidateRequest",
        "CacheInvalidateResponse",
    ),
}
REQUIRED = {
    "CacheClearRequest": set(),
    "CacheClearResponse": {"status", "message", "clearedItems", "timestamp"},
    "CacheStatusResponse": {"enabled", "backend", "globalCacheSize", "serviceCacheCount", "totalEntries"},
    "ComprehensiveCacheStatsResponse": {"globalCache", "serviceCaches", "totals"},
    "ServiceCacheStatsResponse": {"serviceName", "found", "statistics"},
    "CacheInvalidateRequest": {"key"},
    "CacheInvalidateResponse": {"success", "key", "found"},
}
OURS = {
    ("get", "/api/system/cache/entries"),
    ("get", "/api/system/cache/entries/{key}"),
    ("put", "/api/system/cache/entries/{key}"),
    ("delete", "/api/system/cache/entries/{key}"),
    ("get", "/api/system/cache/events"),
    ("get", "/api/system/cache/events/stream"),
    ("get", "/api/system/cache/overview"),
    ("get", "/api/system/cache/detail"),
    ("get", "/api/system/cache/history"),
    ("get", "/api/system/cache/explain"),
    ("get", "/api/system/session"),
    ("post", "/api/system/session"),
    ("delete", "/api/system/session"),
    ("post", "/api/system/cache/clear/preview"),
    ("get", "/api/system/cache/clears"),
    ("get", "/api/system/cache/clears/{clear_id}"),
    ("get", "/api/system/cache/recovery"),
    ("delete", "/api/system/cache/refill"),
    ("get", "/api/system/cache/live"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
}


@pytest.fixture
def schema(http):
    return http.get("/openapi.json").json()


def model_in(part):
    schemas = [part["content"]["application/json"]["schema"]]
    schemas += schemas[0].get("anyOf", [])
    return next(each["$ref"].rpartition("/")[2] for each in schemas if "$ref" in each)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation[1])
def test_operation_ids_summaries_and_models_are_the_contracts(schema, operation):
    method, path = operation
    found = schema["paths"][path][method]
    request = model_in(found["requestBody"]) if "requestBody" in found else None
    response = model_in(found["responses"]["200"])
    assert (found["operationId"], found["summary"], request, response) == OPERATIONS[operation]


def test_there_are_no_other_operations_than_the_documented(schema):
    served = {(method, path) for path, methods in schema["paths"].items() for method in methods}
    assert served == OPERATIONS.keys() | OURS


@pytest.mark.parametrize("model", REQUIRED)
def test_required_fields_are_exactly_the_contracts(schema, model):
    assert set(schema["components"]["schemas"][model].get("required", ())) == REQUIRED[model]


def test_only_the_first_clear_requires_a_body(schema):
    def required(path, method):
        return schema["paths"][path][method]["requestBody"].get("required", False)

    assert required("/api/system/cache/clear", "post") is True
    assert required("/api/system/performance/clear-cache", "post") is False
    assert required("/api/system/cache/invalidate", "delete") is False


def test_types_of_the_clear_are_the_contracts(schema):
    request = schema["components"]["schemas"]["CacheClearRequest"]
    response = schema["components"]["schemas"]["CacheClearResponse"]["properties"]
    assert request["additionalProperties"] is False
    assert request["properties"]["serviceName"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert request["properties"]["mode"]["enum"] == ["hard", "soft"]
    assert (request["properties"]["maxItems"]["minimum"], request["properties"]["maxItems"]["maximum"]) == (0, 10_000)
    assert response["status"]["type"] == "string"
    assert response["clearedItems"]["items"] == {"type": "string"}
    assert response["timestamp"]["type"] == "string"
    assert response["success"]["anyOf"] == [{"type": "boolean"}, {"type": "null"}]
    assert response["entriesCleared"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]


def test_the_examples_are_the_contracts(schema):
    def example(model):
        return schema["components"]["schemas"][model]["examples"][0]

    assert example("CacheClearRequest") == {"serviceName": "etherforce"}
    assert example("CacheClearResponse") == {
        "status": "success",
        "message": "Successfully cleared cache for service: etherforce",
        "clearedItems": ["cache_key_1", "cache_key_2"],
        "timestamp": "2025-02-01T10:30:00Z",
        "success": True,
        "entriesCleared": 234,
    }
    assert example("CacheStatusResponse")["totalEntries"] == 1423
    assert example("ServiceCacheStatsResponse")["statistics"]["hitRate"] == 95.12
    assert example("CacheInvalidateResponse") == {"success": True, "key": "workflow:123:result", "found": True}


def test_the_cases_of_the_clear_are_documented(schema):
    for path in ("/api/system/cache/clear", "/api/system/performance/clear-cache"):
        answers = schema["paths"][path]["post"]["responses"]
        assert model_in(answers["404"]) == model_in(answers["503"]) == "CacheClearResponse"
        assert model_in(answers["422"]) == "HTTPValidationError"
        assert answers.keys() >= {"401", "403"}


def test_a_validation_error_has_the_five_fields(schema):
    fields = schema["components"]["schemas"]["ValidationError"]["properties"]
    assert fields.keys() == {"loc", "msg", "type", "input", "ctx"}


def test_answers_of_the_clear_fit_their_model_without_coercion(http):
    from cenote.control.schemas import CacheClearResponse

    for body in ({}, {"serviceName": "nobody"}):
        answer = http.post("/api/system/cache/clear", json=body).json()
        parsed = CacheClearResponse.model_validate(answer, strict=True, extra="forbid")
        assert parsed.model_dump(by_alias=True) == answer
