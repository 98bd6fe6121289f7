//! Tests of the SQLite backend alone.
