"""Entry points for WSGI servers, one module per service."""
