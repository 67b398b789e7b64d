//! The binary `registrar`.

fn main() {}
