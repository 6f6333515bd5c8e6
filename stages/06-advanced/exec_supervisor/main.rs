//! Process 1 of a sandbox that stays.

fn main() {}
