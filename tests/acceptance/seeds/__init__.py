"""The code samples of the seed documents, run as they are written."""
