"""Writing inside the user's own batch or transaction of google-cloud-firestore."""

from __future__ import annotations

from app.stores.base import NotJoinable, Unit
from app.stores.firestore.names import Names
from app.stores.firestore.wire import WriteMessage
from app.stores.firestore.writes import Writes


def enlist(transaction: object, unit: Unit, names: Names, writes: Writes) -> None:
    """Append the unit's writes to a `WriteBatch`, `AsyncWriteBatch`, `Transaction` or `AsyncTransaction`.

    The batch keeps its writes in a list of its own and offers no public way to add one that is made already, so two
    attributes of it that its subclasses use too are used here.

    Raises:
        NotJoinable: it is something else, or of another database.
    """
    # Whoever has a batch has imported them; nobody else pays for them.
    from google.cloud.firestore_v1.base_batch import BaseWriteBatch
    from google.cloud.firestore_v1.types.write import Write

    if not isinstance(transaction, BaseWriteBatch):
        raise NotJoinable(
            f"a Firestore store writes inside google-cloud-firestore's WriteBatch or Transaction, sync or async, "
            f"not inside {type(transaction).__name__}"
        )
    client = transaction._client
    if client._database_string != names.database:
        raise NotJoinable(f"the batch writes to {client._database_string}, this store to {names.database}")
    for write in unit:
        message = WriteMessage()
        writes.fill(message, write)
        reference = client.document(f"{names.collections[write.collection]}/{write.id}")
        transaction._document_references[reference._document_path] = reference
        transaction._add_write_pbs([Write.deserialize(message.SerializeToString())])
