//! The Rust server SDK: sign Beams tokens, publish, delete users.
