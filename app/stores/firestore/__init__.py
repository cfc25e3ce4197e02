"""The store on Firestore. Importing it imports Google's client libraries, which takes about half a second."""

from app.stores.base import PriceList
from app.stores.firestore.store import FirestoreJobStore

__all__ = ["FirestoreJobStore", "PriceList"]
