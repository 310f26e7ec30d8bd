"""Unit tests: mirror the package, open no socket, need no root."""
