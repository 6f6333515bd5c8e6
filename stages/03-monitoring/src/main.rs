//! A stub that the stage replaces.
fn main() {}
