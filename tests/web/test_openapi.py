"""The OpenAPI document: that it describes the door, the whole door and nothing but the door."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from temper.web.limits import Limits
from temper.web.openapi import _ANSWERS, sample
from temper.web.paths import Resource, parse
from temper.web.problems import KINDS
from temper.web.verbs import OPERATIONS, QUERIES
from tests.web.caller import JSON, call
from tests.web.fake import SHAPE, Fake

# What stands for each piece of a path that is given by the caller.
WORDS = {"id": "l1", "token": "t", "session": "s"}


def given(path: str, **more: str) -> bytes:
    """Return the path with a word in the place of each piece that is known here."""
    words = WORDS | more
    return re.sub(r"\{(\w+)\}", lambda piece: words.get(piece[1], piece[0]), path).encode()


async def document(target: str = "/openapi.json") -> Any:
    """Return the document at `target`."""
    response = await call(Fake().door(), "GET", target)
    assert response.status == 200
    return response.json


def operations(found: Any) -> Iterator[tuple[str, str, Any]]:
    """Each operation, as (path, method, what is said of it)."""
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def everywhere(value: Any) -> Iterator[dict[str, Any]]:
    """Each object within `value`."""
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from everywhere(item)
    elif isinstance(value, list):
        for item in value:
            yield from everywhere(item)


async def test_every_operation_is_one_of_the_door() -> None:
    """The path as written leads to a resource that has the method; its query is the door's."""
    for path, method, operation in operations(await document()):
        route = parse(given(path, blueprint="new"))
        if route.resource is Resource.HEALTH:
            continue
        assert route.resource is not None, path
        known = QUERIES[route.resource][method]
        query = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
        assert query == list(known), path


async def test_every_operation_of_the_door_is_written_out() -> None:
    """For the blueprint that is live, and for one that is not yet."""
    found = await document()
    written = set()
    for path, method, _ in operations(found):
        route = parse(given(path))
        written.add((route.resource, method))
    assert written - {(Resource.HEALTH, "GET")} == {
        (resource, method) for resource, methods in OPERATIONS.items() for method in methods
    }
    assert set(_ANSWERS) == written - {(Resource.HEALTH, "GET")}
    assert "/v1/{blueprint}" in found["paths"]


async def test_actions_are_paths_of_their_own() -> None:
    """Those that people can take, with their parameters; what `system` alone takes is not offered."""
    found = await document()
    assert "/v1/lamp/Lamp/{id}/Switch" in found["paths"]
    assert "/v1/lamp/Lamp/{id}/Fade" not in found["paths"]
    assert "/v1/lamp/Lamp/{id}/Hang" not in found["paths"]
    create = found["paths"]["/v1/lamp/Lamp"]["post"]
    body = create["requestBody"]["content"]["application/json"]
    assert body["schema"]["required"] == ["watts"]
    assert set(body["schema"]["properties"]) == {"watts", "id"}
    assert body["example"] == {"watts": 1}
    assert create["requestBody"]["required"] is True
    assert found["paths"]["/v1/lamp/Lamp/{id}/Switch"]["post"]["requestBody"]["required"] is False
    assert "Hangs it up." in create["description"]
    assert {each["name"] for each in create["parameters"]} == {"Idempotency-Key", "action", "dry_run"}


async def test_an_entity_has_a_schema_of_its_own() -> None:
    """With its states and its fields."""
    found = await document()
    lamp = found["components"]["schemas"]["lamp.Lamp"]
    assert lamp["properties"]["state"]["enum"] == ["Off", "On"]
    assert lamp["properties"]["fields"] == SHAPE.entities[0].fields
    assert lamp["description"] == "A lamp in a hall."


@pytest.mark.parametrize("target", ["/openapi.json", "/v1/lamp/openapi.json"])
async def test_names_are_unique_and_references_lead_somewhere(target: str) -> None:
    """Operations by id, links to operations, references to schemas, parameters of paths."""
    found = await document(target)
    ids = [operation["operationId"] for _, _, operation in operations(found)]
    assert len(set(ids)) == len(ids)
    for each in everywhere(found):
        if isinstance(reference := each.get("$ref"), str):
            assert reference.removeprefix("#/components/schemas/") in found["components"]["schemas"]
        for link in (each.get("links") or {}).values():
            assert link["operationId"] in ids
    for path, _, operation in operations(found):
        named = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"]
        assert named == re.findall(r"\{(\w+)\}", path)


@pytest.mark.parametrize(
    ("target", "id"), [("/openapi.json", "lamp_Lamp_Switch"), ("/v1/lamp/openapi.json", "Lamp_Switch")]
)
async def test_an_operation_is_named_after_the_domain(target: str, id: str) -> None:
    """Alone, a blueprint needs not be named in each."""
    assert id in [operation["operationId"] for _, _, operation in operations(await document(target))]


async def test_every_answer_says_how_it_can_fail() -> None:
    """As problem+json, with the header that goes with it."""
    for path, _, operation in operations(await document()):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"]
            assert ("Retry-After" in response.get("headers", {})) == (status in {"429", "503"})
            assert ("WWW-Authenticate" in response.get("headers", {})) == (status == "401")
        assert "401" in operation["responses"] or path == "/healthz"


BAD_BODIES = [(b"{", 400, JSON), (b"[]", 422, JSON), (b"x", 415, (b"content-type", b"image/png"))]


@pytest.mark.parametrize(("body", "status", "kind"), BAD_BODIES)
async def test_what_becomes_of_a_bad_body_is_said_where_one_is_taken(
    body: bytes, status: int, kind: tuple[bytes, bytes]
) -> None:
    """By the door itself: an operation that reads a body says of it how that can fail, and what else can, none."""
    taken = 0
    for path, method, operation in operations(await document()):
        if method == "GET":
            continue  # What a GET brings is not read, and streams and waits would not end.
        target = given(path, blueprint="lamp", order="o1", decision="d1", grant="g1", pause="p1").decode()
        target = re.sub(r"\{\w+\}", "x1", target)
        response = await call(Fake().door(), method, target, headers=[kind], body=body)
        if "requestBody" in operation:
            taken += 1
            assert {"408", "413", "415", "422"} <= operation["responses"].keys(), (method, path)
            assert response.status in {status, 404}, (method, path)
        assert str(response.status) in operation["responses"], (method, path, response.status)
    assert taken > 10


async def test_every_kind_of_problem_is_listed() -> None:
    """In the schema, as in the pages."""
    found = await document()
    kinds = found["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    assert kinds == [f"/problems/{kind}" for kind in KINDS]


async def test_a_document_is_made_once_for_a_version() -> None:
    """Its tag changes with what is live, and a caller who has it is told so."""
    fake = Fake()
    door = fake.door()
    first = await call(door, "GET", "/openapi.json")
    tag = (b"if-none-match", first.headers["etag"].encode())
    assert (await call(door, "GET", "/openapi.json", headers=[tag])).status == 304
    fake.says["shape"] = msgspec.structs.replace(SHAPE, version=3, description="Other lamps.")
    second = await call(door, "GET", "/openapi.json", headers=[tag])
    assert second.status == 200
    assert "Other lamps." in second.body.decode()


async def test_bounds_are_the_door_s_own() -> None:
    """A server with other bounds says so."""
    response = await call(Fake().door(Limits(page_max=7)), "GET", "/openapi.json")
    listed = response.json["paths"]["/v1/lamp/Lamp"]["get"]["parameters"]
    assert next(each for each in listed if each["name"] == "limit")["schema"]["maximum"] == 7


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "text"),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "integer", "maximum": -2}, -2),
        ({"type": "integer"}, 0),
        ({"type": "boolean"}, False),
        ({"type": "string", "enum": ["low", "high"]}, "low"),
        ({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}, "2030-01-01T00:00:00Z"),
        ({"anyOf": [{"type": "string", "pattern": "^[0-9]+$"}, {"type": "integer"}]}, "1"),
        ({"type": "array", "items": {"type": "string"}}, []),
        (
            {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "null"}}, "required": ["a"]},
            {"a": 0},
        ),
    ],
)
def test_a_sample_fits_its_schema(schema: Any, value: Any) -> None:
    """One row, one schema: the plain value that examples show."""
    assert sample(schema) == value
