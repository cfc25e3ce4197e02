"""Where records live in Firestore: full document names, and back to ids."""

from __future__ import annotations

from collections.abc import Mapping

from app.stores.schema import COLLECTIONS


class Names:
    """The names of one environment: a database of a project, and the prefix of its collections."""

    def __init__(self, project: str, database: str, prefix: str) -> None:
        self.database = f"projects/{project}/databases/{database}"
        """What requests call the database."""
        self.root = f"{self.database}/documents"
        """The parent of every collection."""
        self.collections: Mapping[str, str] = {each.name: f"{prefix}{each.name}" for each in COLLECTIONS}
        """A collection's name in Firestore, by its own name."""
        self.folders: Mapping[str, str] = {name: f"{self.root}/{there}/" for name, there in self.collections.items()}
        """What a document's name begins with, by collection."""

    def document(self, collection: str, record_id: str) -> str:
        """The full name of a record's document.

        Raises:
            ValueError: no such collection is declared.
        """
        folder = self.folders.get(collection)
        if folder is None:
            raise ValueError(f"no collection is called {collection!r}; declared: {', '.join(self.folders)}")
        return folder + record_id


def id_of(document: str) -> str:
    """The record id in a document's full name."""
    return document[document.rindex("/") + 1 :]
