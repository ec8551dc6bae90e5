"""What a query in GraphQL names: MLflow's pages show a run by one. Read with the library that MLflow reads it with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aidp_ext.core.errors import Forbidden, InvalidRequest
from aidp_ext.experiments.team.paths import inner_path

_MOST_TOKENS = 2000
#: What may be asked for, by which fields of its input, and what those name.
_ASKED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "mlflowGetExperiment": ("experiment", ("experimentId",)),
    "mlflowGetRun": ("run", ("runId", "runUuid")),
    "mlflowListArtifacts": ("run", ("runId", "runUuid")),
    "mlflowGetMetricHistoryBulkInterval": ("run", ("runIds",)),
    "mlflowSearchRuns": ("experiment", ("experimentIds",)),
    "mlflowSearchDatasets": ("experiment", ("experimentIds",)),
}
#: A run's versions in the registry, which has rights of its own.
VERSIONS = "modelVersions"


def named(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return all that a query asks for, as kinds and ids. Raises InvalidRequest, and Forbidden for any other query."""
    from graphql import FieldNode, GraphQLError, OperationDefinitionNode, OperationType, parse

    text, variables = body.get("query"), body.get("variables") or {}
    if not isinstance(text, str) or not isinstance(variables, dict):
        raise InvalidRequest("This is no query.", field="query")
    try:
        document = parse(text, no_location=True, max_tokens=_MOST_TOKENS)
    except (GraphQLError, RecursionError) as error:
        raise InvalidRequest("The query cannot be read.", field="query") from error
    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    if len(operations) != 1 or operations[0].operation is not OperationType.QUERY:
        raise Forbidden("One query passes, and nothing that changes something.")
    if any(one.default_value is not None for one in operations[0].variable_definitions or ()):
        raise Forbidden("Variables have no values of their own here.")
    _check_versions(document)
    found: list[tuple[str, str]] = []
    for field in operations[0].selection_set.selections:
        if not isinstance(field, FieldNode):
            raise Forbidden("What is asked for is named in the query itself.")
        if field.name.value == "__typename":
            continue
        found += _of_field(field, variables)
    if not found:
        raise Forbidden("The query asks for nothing of an experiment's.")
    return found


def _of_field(field: Any, variables: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    from graphql import value_from_ast_untyped

    kind, names = _ASKED.get(field.name.value, ("", ()))
    if not kind or [one.name.value for one in field.arguments] != ["input"]:
        raise Forbidden("A team's tracking server does not answer this query.")
    given = value_from_ast_untyped(field.arguments[0].value, dict(variables))
    if not isinstance(given, dict):
        raise InvalidRequest("The query's input is no object.", field="variables")
    if isinstance(given.get("path"), str):
        inner_path(given["path"])
    values = [one for name in names for one in _texts(given.get(name))]
    if not values:
        raise InvalidRequest(f"`{names[0]}` is missing.", field=names[0])
    for value in values:
        yield kind, value


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in found):
        raise InvalidRequest("An id is a text.", field="variables")
    return [one for one in found if one]


def _check_versions(document: Any) -> None:
    """A run's versions are asked for by their own name and with theirs: so that they can be found in the answer."""
    from graphql import FieldNode, Visitor, visit

    class Look(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> None:
            of_name = node.name.value
            alias = node.alias.value if node.alias else of_name
            if (of_name == VERSIONS) != (alias == VERSIONS) or (alias == "name") != (of_name == "name"):
                raise Forbidden("Versions are asked for by their own name.")
            if of_name == VERSIONS:
                chosen = node.selection_set.selections if node.selection_set else ()
                plain = [one for one in chosen if isinstance(one, FieldNode) and not one.directives]
                if "name" not in [one.name.value for one in plain]:
                    raise Forbidden("Versions are asked for with their names.")

    visit(document, Look())


def without_versions(answer: Any, visible: frozenset[str] | None) -> Any:
    """Return an answer without the versions of models that the caller may not see."""
    if visible is None:
        return answer
    if isinstance(answer, list):
        return [without_versions(one, visible) for one in answer]
    if not isinstance(answer, dict):
        return answer
    kept = {name: without_versions(value, visible) for name, value in answer.items()}
    if isinstance(kept.get(VERSIONS), list):
        kept[VERSIONS] = [one for one in kept[VERSIONS] if isinstance(one, dict) and one.get("name") in visible]
    return kept
