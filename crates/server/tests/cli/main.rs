//! The command line, as a person or a script meets it: the real program, its output, its one line when it fails.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod afar;
mod backup;
mod credential;
mod demo;
mod doctor;
mod instance;
mod master_key;
mod migrate;
mod program;
mod publish;
mod serve;
mod shell;
mod token;
mod transfer;
mod webhook;
