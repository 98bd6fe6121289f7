//! The `heliostat` program: its command line, and nothing else.

mod cli;

/// A delivery allocates and frees some dozens of times, on whatever thread it happens to be.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
