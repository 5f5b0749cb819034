from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from msgspec import UNSET, Meta, Struct, UnsetType, defstruct

from edoccore.signing import records, statements
from edoccore.signing.canonical import encode
from edoccore.signing.shape import MAX_DEPTH, check_shape

Number = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class Whole(Enum):
    ONE = 1


class Lax(Struct, kw_only=True):
    name: str


class Listed(Struct, array_like=True, forbid_unknown_fields=True):
    name: str


class Endless(Struct, kw_only=True, forbid_unknown_fields=True):
    inner: "Endless | UnsetType" = UNSET


class Kind(Struct, kw_only=True, forbid_unknown_fields=True, tag="x", tag_field="kind"):
    name: str


def statement(*fields: tuple[Any, ...], tag: str | None = "edoc.sample/v1") -> type[Struct]:
    return defstruct(
        "Sample", fields, tag=tag, tag_field="type", forbid_unknown_fields=True, kw_only=True
    )


def nested(levels: int) -> Any:
    inner: Any = str
    for _ in range(levels):
        inner = tuple[inner, ...]
    return inner


@pytest.mark.parametrize(
    "field",
    [
        ("a", str),
        ("a1_b2", bool),
        ("a", Number),
        ("a", Annotated[int, Meta(gt=0, lt=100)]),
        ("a", Literal["x", "y"]),
        ("a", statements.Urgency),
        ("a", list[str]),
        ("a", tuple[Number, ...]),
        ("a", str | UnsetType, UNSET),
        ("a", nested(MAX_DEPTH - 1)),
        ("a", Annotated[str, Meta(pattern=r"^[a-z]+\Z", max_length=9)]),
    ],
    ids=str,
)
def test_a_shape_that_is_always_canonical_is_accepted(field: tuple[Any, ...]) -> None:
    check_shape(statement(field))


@pytest.mark.parametrize(
    "field",
    [
        ("a", int),
        ("a", Annotated[int, Meta(ge=-1, le=9)]),
        ("a", Annotated[int, Meta(gt=-2, le=9)]),
        ("a", Annotated[int, Meta(ge=0)]),
        ("a", Annotated[int, Meta(ge=0, le=2**53)]),
        ("a", Annotated[int, Meta(ge=0, lt=2**53 + 1)]),
        ("a", float),
        ("a", bytes),
        ("a", Any),
        ("a", str | None),
        ("a", dict[str, str]),
        ("a", set[str]),
        ("a", Literal[1]),
        ("a", Whole),
        ("a", Lax),
        ("a", Listed),
        ("a", Endless),
        ("a", Kind),
        ("a", str, ""),
        ("a", list[str], []),
        ("a", str | None, None),
        ("A", str),
        ("a__b", str),
        ("tên", str),
        ("a", nested(MAX_DEPTH)),
        ("a", Annotated[str, Meta(pattern=r"^[a-z]+$")]),
        ("a", Annotated[str, Meta(pattern=r"[a-z]+\Z")]),
        ("a", tuple[Annotated[str, Meta(pattern=r"^[a-z]+$")], ...]),
    ],
    ids=str,
)
def test_a_shape_that_could_be_something_else_is_refused(field: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        check_shape(statement(field))


@pytest.mark.parametrize("tag", [None, "sample", "edoc.sample", "edoc.Sample/v1", "edoc.sample/v0"])
def test_a_statement_without_a_proper_name_is_refused(tag: str | None) -> None:
    with pytest.raises(TypeError, match="needs a tag"):
        check_shape(statement(("a", str), tag=tag))


def test_a_type_that_is_not_canonical_is_found_by_its_first_use() -> None:
    wrong = statement(("a", float))
    with pytest.raises(TypeError, match=r"Sample\.a is FloatType"):
        encode(wrong(a=1.0))


def test_every_statement_of_the_exchange_has_a_canonical_shape() -> None:
    kinds = [
        kind
        for module in (statements, records)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Struct) and kind.__struct_config__.tag
    ]
    named = [kind for kind in kinds if str(kind.__struct_config__.tag).startswith("edoc.")]
    assert {"Envelope", "Receipt", "Seal"} <= {kind.__name__ for kind in named}
    for kind in named:
        check_shape(kind)
