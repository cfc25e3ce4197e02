"""A database of one table of versions, whose every answer and failure a test can choose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.stores.sql.drivers import Batch, Row, Trouble
from app.stores.sql.statements import Params


class FakeError(Exception):
    """An error of the fake driver."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(f"the database said {trouble.name}")
        self.trouble = trouble


class FakeDatabase:
    """What is committed: versions by (table, id). `plan` holds errors to raise, in order, by step."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], int] = {}
        self.plan: dict[str, list[BaseException | None]] = {}
        self.links: list[FakeLink] = []
        self.commits = 0
        self.notices = 0

    def connect(self) -> FakeLink:
        self.fail("connect")
        link = FakeLink(self)
        self.links.append(link)
        return link

    def fail(self, step: str) -> None:
        planned = self.plan.get(step)
        error = planned.pop(0) if planned else None
        if error is not None:
            raise error


class FakeLink:
    """A connection that understands the texts of `Statements` for SQLite."""

    def __init__(self, database: FakeDatabase) -> None:
        self.database = database
        self.state = "idle"
        self._working: dict[tuple[str, str], int] = {}
        self._notices = 0

    def begin(self) -> None:
        self.database.fail("begin")
        assert self.state == "idle", "a transaction was left open"
        self.state = "open"
        self._working = dict(self.database.rows)
        self._notices = 0

    def run(self, batches: Sequence[Batch]) -> list[int]:
        self.database.fail("run")
        return [sum(self._execute(text, row) for row in rows) for text, rows in batches]

    def fetch(self, questions: Sequence[tuple[str, Params]]) -> list[list[Row]]:
        self.database.fail("fetch")
        answers: list[list[Row]] = []
        for text, params in questions:
            table = text.partition("FROM ")[2].partition(" ")[0].strip()
            answers.append([(name, self._working[table, name]) for name in params if (table, name) in self._working])
        return answers

    def commit(self, last: Sequence[Batch] = ()) -> None:
        self.run(last)
        self.database.fail("commit")
        self.database.rows = self._working
        self.database.notices += self._notices
        self.database.commits += 1
        self.state = "idle"
        self.database.fail("answer")

    def rollback(self) -> None:
        self.database.fail("rollback")
        self.state = "idle"

    def close(self) -> None:
        self.state = "closed"

    def discard(self) -> None:
        self.state = "discarded"

    def _execute(self, text: str, params: Params) -> int:
        if text == "NOTIFY":
            self._notices += 1
            return 1
        words = text.split()
        if words[0] == "INSERT":
            table, name, version = words[2], params[0], params[1]
            if (table, name) in self._working:
                raise FakeError(Trouble.CONFLICT)
            self._working[table, name] = version
            return 1
        assert words[0] == "UPDATE"
        table, name, old = words[1], params[-2], params[-1]
        if self._working.get((table, name)) != old:
            return 0
        self._working[table, name] = params[0]
        return 1


class FakeDriver:
    """As much of a driver as a `Transactor` needs."""

    errors = (FakeError,)

    def __init__(self, *, locks_rows: bool = True) -> None:
        self.locks_rows = locks_rows

    def trouble(self, error: Any) -> Trouble:
        trouble: Trouble = error.trouble
        return trouble

    def is_uncertain(self, error: Any) -> bool:
        return self.trouble(error) is Trouble.LOST
