//! The command line: what there is to type, and where it goes.
//!
//! One file per command. A command that fails says so in exactly one line on stderr and with its exit code; what it has
//! to say otherwise goes to stdout, as a table for people or as JSON. The environment is read by the configuration
//! alone, except for the secret key, which clap reads and never shows.

mod admin_token;
mod audit_log;
mod backup;
mod completions;
mod credential;
mod database;
mod demo;
mod device;
mod device_line;
mod doctor;
mod dumps;
mod emulate;
mod export;
mod failure;
mod health;
mod huge_pages;
mod import;
mod instance;
mod key;
mod man;
mod master_key;
mod migrate;
mod output;
mod place;
mod progress;
mod publish;
mod publishes;
mod serve;
mod settings;
mod signals;
mod table;
mod token;
mod user;
mod webhook;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

use failure::Failure;

const EXIT_CODES: &str = "\
Exit codes: 0 it worked; 1 it failed, and a line on stderr says what, where and what to do; 2 the command line is \
wrong; 130 or 143 a second Ctrl-C or SIGTERM came before a graceful stop was done.";

/// Push notifications for your users' devices, from your own server, with the Pusher Beams SDKs.
#[derive(Debug, Parser)]
#[command(name = "heliostat", version, propagate_version = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Each explains itself where it is.
#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Emulate(emulate::Emulate),
    Demo(demo::Demo),
    #[command(subcommand)]
    Instance(instance::InstanceCommand),
    #[command(subcommand)]
    Credential(credential::CredentialCommand),
    Token(token::Token),
    Publish(publish::Publish),
    #[command(subcommand)]
    Publishes(publishes::PublishesCommand),
    #[command(subcommand)]
    Device(device::DeviceCommand),
    #[command(subcommand)]
    User(user::UserCommand),
    #[command(subcommand)]
    AdminToken(admin_token::AdminTokenCommand),
    AuditLog(audit_log::AuditLog),
    #[command(subcommand)]
    Import(import::ImportCommand),
    #[command(subcommand)]
    Export(export::ExportCommand),
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    Health(health::Health),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::Manual),
    Migrate(migrate::Migrate),
    Backup(backup::BackUp),
    Restore(backup::PutBack),
    #[command(subcommand)]
    MasterKey(master_key::MasterKeyCommand),
}

/// Runs what was typed.
pub(crate) fn main() -> ExitCode {
    dumps::forbid();
    huge_pages::forgo();
    let result = match Cli::try_parse() {
        Ok(cli) => run(cli.command),
        Err(error) => refuse(&error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(serve) => serve.run(),
        Command::Emulate(emulate) => block_on(emulate.run()),
        Command::Demo(demo) => block_on(demo.run()),
        Command::Instance(instance) => block_on(instance.run()),
        Command::Credential(credential) => block_on(credential.run()),
        Command::Token(token) => block_on(token.run()),
        Command::Publish(publish) => block_on(publish.run()),
        Command::Publishes(publishes) => block_on(publishes.run()),
        Command::Device(device) => block_on(device.run()),
        Command::User(user) => block_on(user.run()),
        Command::AdminToken(token) => block_on(token.run()),
        Command::AuditLog(log) => block_on(log.run()),
        Command::Import(import) => block_on(import.run()),
        Command::Export(export) => block_on(export.run()),
        Command::Webhook(webhook) => block_on(webhook.run()),
        Command::Health(health) => block_on(health.run()),
        Command::Doctor(doctor) => block_on(doctor.run()),
        Command::Completions(completions) => completions.run(Cli::command()),
        Command::Man(manual) => manual.run(Cli::command()),
        Command::Migrate(migrate) => block_on(migrate.run()),
        Command::Backup(backup) => block_on(backup.run()),
        Command::Restore(restore) => block_on(restore.run()),
        Command::MasterKey(command) => block_on(command.run()),
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start threads: {error}")))?
        .block_on(work)
}

/// Help and version are what was asked for; everything else becomes one line.
fn refuse(error: &clap::Error) -> Result<(), Failure> {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        // Coloured on a terminal. If nobody reads it, there is nobody to tell.
        let _ = error.print();
        return Ok(());
    }
    let text = error.render().to_string();
    let what = text.split("\nUsage:").next().unwrap_or(&text);
    let what = what.split("\nFor more information").next().unwrap_or(what);
    let words: Vec<&str> = what
        .trim_start_matches("error:")
        .split_whitespace()
        .collect();
    let what = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a command is missing".to_owned(),
        _ => words.join(" "),
    };
    Err(Failure::usage(format!("{what}; --help says what there is")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_explains_itself() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                let told = argument.get_help().is_some();
                assert!(told, "{} {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn a_wrong_command_line_is_one_line() {
        for words in [
            &["heliostat"][..],
            &["heliostat", "instance"],
            &["heliostat", "launch"],
            &["heliostat", "instance", "create"],
            &["heliostat", "publish", "--instance", "x", "--payload", "p"],
            &[
                "heliostat",
                "instance",
                "create",
                "--name",
                "a",
                "--id",
                "x",
            ],
        ] {
            let error = Cli::try_parse_from(words).unwrap_err();
            let line = refuse(&error).unwrap_err().to_string();
            assert!(
                !line.contains('\n') && line.ends_with("; --help says what there is"),
                "{line}"
            );
        }
    }
}
