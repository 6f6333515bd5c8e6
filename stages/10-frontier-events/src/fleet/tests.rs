//! Tests of the API side.
