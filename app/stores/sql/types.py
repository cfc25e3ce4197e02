"""Column types: what each kind of field is called in each dialect.

A dialect's own types are imported where they are needed: all of them together take as long as opening a store.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import TIMESTAMP, BigInteger, Boolean, Dialect, Double, String, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

from app.stores.base import Kind
from app.stores.checks import MAX_KEY_LENGTH
from app.stores.sql.values import DECODERS, ENCODERS


class Converted(TypeDecorator[Any]):
    """A kind that some dialect has no native type for; converted by the functions of `values`."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        super().__init__()

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type that the dialect is asked for."""
        # Not adapted to the driver here: PostgreSQL's would make a VARCHAR of a TEXT.
        if self.kind is not Kind.TIME:
            return text_type(dialect.name)
        if dialect.name == "postgresql":
            return TIMESTAMP(timezone=True)
        if dialect.name == "mysql":
            from sqlalchemy.dialects.mysql import DATETIME

            return DATETIME(fsp=6)
        return BigInteger()

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """The driver's form of a field's value."""
        encode = ENCODERS[dialect.name].get(self.kind)
        return value if value is None or encode is None else encode(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """The field's value of what the driver gave."""
        decode = DECODERS[dialect.name].get(self.kind)
        return value if value is None or decode is None else decode(value)


def key_type(dialect: str, *, is_mariadb: bool) -> TypeEngine[str]:
    """Short text that compares by code point, with nothing folded and no blank at its end ignored."""
    if dialect == "postgresql":
        return String(MAX_KEY_LENGTH, collation="C")
    if dialect == "mysql":
        from sqlalchemy.dialects.mysql import VARCHAR

        collation = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
        return VARCHAR(MAX_KEY_LENGTH, charset="utf8mb4", collation=collation)
    return String(MAX_KEY_LENGTH)


def text_type(dialect: str) -> TypeEngine[str]:
    """Text of any length."""
    if dialect == "mysql":
        from sqlalchemy.dialects.mysql import LONGTEXT

        return LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
    return Text()


def column_type(kind: Kind, dialect: str, *, is_mariadb: bool) -> TypeEngine[Any]:
    """The type of a column that holds fields of a kind."""
    match kind:
        case Kind.KEY:
            return key_type(dialect, is_mariadb=is_mariadb)
        case Kind.TEXT:
            return text_type(dialect)
        case Kind.INT:
            return BigInteger()
        case Kind.FLOAT:
            return Double()
        case Kind.BOOL:
            return Boolean()
        case Kind.TIME | Kind.KEYS:
            return Converted(kind)
