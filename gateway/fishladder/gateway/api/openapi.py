"""The OpenAPI document of the REST API, made from its endpoints and the types they take and give."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from importlib import metadata
from typing import Any

import msgspec

from fishladder.gateway.api.endpoint import Endpoint, Parameter, Problem

_REF = "#/components/schemas/{name}"
_JSON = "application/json"


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The document as OpenAPI 3.1 has it."""
    types: list[type] = [Problem]
    for one in endpoints:
        types += [kind for kind in (one.gives, one.takes) if kind is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    of = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fishladder",
            "version": metadata.version("fishladder"),
            "description": "Sites, cameras, their ledgers and results, and what is wanted of them.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "From `fishladder token create`."}
            },
        },
        "security": [{"token": []}],
    }


def _operation(one: Endpoint, of: dict[type, dict[str, Any]]) -> dict[str, Any]:
    errors = set(one.errors)
    if not one.anybody:
        errors |= {401, 403}
    if any(it.place == "path" for it in one.parameters):
        errors |= {400, 404}
    if any(it.place != "path" for it in one.parameters) or one.takes is not None:
        errors.add(400)
    errors |= {429, 503}
    operation: dict[str, Any] = {
        "summary": one.about,
        "operationId": _name(one),
        "parameters": [_parameter(it) for it in one.parameters],
        "responses": {
            ("204" if one.gives is None else "200"): _good(one, of),
            **{
                str(code): {
                    "description": HTTPStatus(code).phrase,
                    "content": {_JSON: {"schema": of[Problem]}},
                }
                for code in sorted(errors)
            },
        },
    }
    if one.takes is not None:
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": of[one.takes]}}}
    if one.anybody:
        operation["security"] = []
    return operation


def _parameter(it: Parameter) -> dict[str, Any]:
    required = it.place == "path"
    return {"name": it.name, "in": it.place, "required": required, "description": it.about, "schema": it.schema}


def _good(one: Endpoint, of: dict[type, dict[str, Any]]) -> dict[str, Any]:
    if one.gives is None:
        return {"description": "Done."}
    if one.stream:
        told = f"The data of each event is a {one.gives.__name__}."
        return {"description": told, "content": {one.stream: {"schema": {"type": "string"}}}}
    return {"description": "Done.", "content": {_JSON: {"schema": of[one.gives]}}}


def _name(one: Endpoint) -> str:
    return one.method.lower() + "".join(word.capitalize() for word in re.findall(r"[a-z]+", one.path))
