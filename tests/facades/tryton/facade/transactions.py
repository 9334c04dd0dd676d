"""Runs a piece of work in one transaction of Tryton, and again where that is harmless."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from sql import Select
from sql.functions import CurrentTimestamp
from trytond import backend
from trytond.exceptions import ConcurrencyException
from trytond.transaction import Transaction, TransactionError

import database

from .contract import Refusal

T = TypeVar("T")
ATTEMPTS = 3
# Archived parties are blocked customers and not absent ones, so that every search must see them.
CONTEXT = {"active_test": False, "language": "en"}


def run(work: Callable[[], T], *, write: bool = False) -> T:
    locks: dict[str, Any] = {}
    attempt = 1
    while True:
        committing = False
        try:
            with Transaction().start(database.NAME, 0, readonly=not write, context=CONTEXT, **locks) as transaction:
                if backend.name == "sqlite":
                    # Python begins a transaction of SQLite no earlier than at the first change. What is read before that would be
                    # of another moment: a stale version could pass, and a page mix two states of a record.
                    transaction.connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                result = work()
                if write:
                    committing = True
                    transaction.commit()
                return result
        except TransactionError as error:  # Tryton wants a lock from the very beginning (`Model.lock`)
            error.fix(locks)
        except (backend.DatabaseOperationalError, ConcurrencyException):
            # A commit whose answer was lost may have been done: that is no 503, which promises that nothing was.
            if committing:
                raise
            if attempt == ATTEMPTS:
                raise Refusal(503, "busy", "The database is busy.") from None
            attempt += 1


def now() -> datetime:
    """The clock that stamps rows: the database's, wherever that is. Not this process's."""
    cursor = Transaction().connection.cursor()
    cursor.execute(*Select([CurrentTimestamp()]))
    (time,) = cursor.fetchone()
    return utc(datetime.fromisoformat(time) if isinstance(time, str) else time)


def utc(stamp: datetime) -> datetime:
    """Tryton stamps without a zone, in UTC."""
    return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)
