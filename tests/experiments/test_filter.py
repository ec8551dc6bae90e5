"""MLflow's search syntax as aidp reads it. What it finds is compared with MLflow's own search in test_index.py."""

from __future__ import annotations

import pytest

from aidp_ext.core.errors import InvalidRequest
from aidp_ext.experiments.index.filter import Condition, Identifier, Order, parse_filter, parse_order


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metrics.loss < 1", Condition(Identifier("metric", "loss"), "<", 1.0)),
        ("metric.loss >= -1e-3", Condition(Identifier("metric", "loss"), ">=", -0.001)),
        ("metrics.`val loss` != .5", Condition(Identifier("metric", "val loss"), "!=", 0.5)),
        ('metrics."val/loss"=2', Condition(Identifier("metric", "val/loss"), "=", 2.0)),
        ("metrics.val/loss-1 > 0", Condition(Identifier("metric", "val/loss-1"), ">", 0.0)),
        ("params.lr = '0.1'", Condition(Identifier("param", "lr"), "=", "0.1")),
        ('parameters.a.b LIKE "x%"', Condition(Identifier("param", "a.b"), "LIKE", "x%")),
        ("tags.`mlflow.user` ilike 'ANA'", Condition(Identifier("tag", "mlflow.user"), "ILIKE", "ANA")),
        ("params.x IS NULL", Condition(Identifier("param", "x"), "IS NULL", None)),
        ("tags.x is not null", Condition(Identifier("tag", "x"), "IS NOT NULL", None)),
        ("attributes.run_id IN ('a', 'b')", Condition(Identifier("attribute", "run_id"), "IN", ("a", "b"))),
        ("run_id NOT IN ('a')", Condition(Identifier("attribute", "run_id"), "NOT IN", ("a",))),
        ("attr.Created > 5", Condition(Identifier("attribute", "start_time"), ">", 5.0)),
        ("run.`Run name` = 'x'", Condition(Identifier("attribute", "run_name"), "=", "x")),
        ("datasets.digest = 'd'", Condition(Identifier("dataset", "digest"), "=", "d")),
        ("attributes.diverged = 'true'", Condition(Identifier("attribute", "diverged"), "=", "true")),
        ("params.`🐧/ä` = 'it''s'", Condition(Identifier("param", "🐧/ä"), "=", "it''s")),  # as MLflow takes it
    ],
)
def test_a_condition_is_read(text: str, expected: Condition) -> None:
    assert parse_filter(text) == (expected,)


def test_all_conditions_have_to_hold() -> None:
    assert len(parse_filter("metrics.a > 1 AND params.b = 'AND' and tags.c != \"x AND y\"")) == 3
    assert parse_filter("  ") == ()


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("metrics.loss", 12, "comparison"),
        ("metrics.loss <", 14, "value"),
        ("metrics.loss < 'a'", 15, "number"),
        ("metrics.loss < x", 15, "number"),
        ("metrics.loss LIKE 'a'", 13, "compare numbers"),
        ("params.lr < '1'", 10, "compare texts"),
        ("params.lr = 0.1", 12, "quotes"),
        ("params.lr = '0.1", 12, "closed"),
        ("parms.lr = '0.1'", 0, "parms"),
        ("attributes.colour = 'red'", 0, "colour"),
        ("metrics.a > 1 OR metrics.b > 1", 14, "AND"),
        ("metrics.a > 1 metrics.b > 1", 14, "AND"),
        ("(metrics.a > 1)", 0, "belongs"),
        ("metrics.a == 1", 10, "=="),
        ("metrics.a <> 1", 10, "<>"),
        ("run_id IN 'a'", 10, "("),
        ("run_id IN ('a'", 14, "missing"),
        ("run_id IN ('a' 'b')", 15, "commas"),
        ("run_id NOT 'a'", 11, "IN"),
        ("params.x IS 'a'", 12, "NULL"),
        ("attributes.status IS NULL", 0, "IS NULL"),
        ("metrics. > 1", 0, "missing"),
        ("datasets.colour = 'x'", 0, "colour"),
        ("metrics.a > 1 AND", 17, "missing"),
        ("metrics.a > 1; DROP TABLE runs", 13, ""),
        ("' OR 1=1 --", 0, ""),
    ],
)
def test_what_is_no_filter_is_refused_with_its_place(text: str, position: int, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_filter(text)
    assert caught.value.details["position"] == position
    assert caught.value.details["field"] == "filter"
    assert words in caught.value.message


def test_orders_are_read() -> None:
    assert parse_order(["metrics.`a b` DESC", "start_time", "params.lr asc"]) == (
        Order(Identifier("metric", "a b"), descending=True),
        Order(Identifier("attribute", "start_time"), descending=False),
        Order(Identifier("param", "lr"), descending=False),
    )


@pytest.mark.parametrize(
    "texts",
    [["metrics.a UP"], ["metrics.a DESC NULLS"], ["datasets.name"], ["metrics.a", "metrics.a DESC"], ["a.b"], ["("]],
)
def test_what_is_no_order_is_refused(texts: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_order(texts)
    assert caught.value.details["field"] == "order_by"
