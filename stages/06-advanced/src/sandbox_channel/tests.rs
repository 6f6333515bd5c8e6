//! A supervisor that lies.
