//! The binary: settings, build, run until a signal.

use std::io::Write as _;
use std::panic::resume_unwind;
use std::process::ExitCode;

use stampede::app::{App, StartError};
use stampede::config::{self, Command, Config, LabCommand, Problems};
use stampede::signals::Signals;
use stampede::{healthcheck, http, lab, telemetry};
use tracing::error;

const WRONG_SETTING: u8 = 2;

fn main() -> ExitCode {
    match config::command() {
        Ok(Command::Serve(config)) => serve(config),
        Ok(Command::Healthcheck(config)) if healthcheck::is_healthy(config.http_addr) => {
            ExitCode::SUCCESS
        }
        Ok(Command::Healthcheck(_)) => ExitCode::FAILURE,
        Ok(Command::Lab(config, command)) => show_lab(&config, &command),
        Ok(Command::Print(text)) => print(&text, true),
        Err(problems) => refuse(&problems),
    }
}

#[tokio::main]
async fn serve(config: Box<Config>) -> ExitCode {
    telemetry::start(config.log_format, &config.log_filter);
    let address = config.http_addr;
    // A task like any other: the thread that waits here would have to be woken for every connection that comes or goes.
    let served = tokio::spawn(async move { start(&config).await });
    match served
        .await
        .unwrap_or_else(|panic| resume_unwind(panic.into_panic()))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError::Settings(problems)) => refuse(&problems),
        Err(StartError::Io(error)) => {
            error!(%address, %error, "cannot start");
            ExitCode::FAILURE
        }
    }
}

/// Listens first, so that nothing else is started when the address is taken; callers wait in the backlog meanwhile.
async fn start(config: &Config) -> Result<(), StartError> {
    let signals = Signals::listen()?;
    let listener = http::listen(config.http_addr)?;
    let app = App::build(config).await?;
    app.serve(listener, signals.shutdown()).await?;
    Ok(())
}

#[tokio::main]
async fn show_lab(config: &Config, command: &LabCommand) -> ExitCode {
    match lab::show(config, command).await {
        Ok(shown) => {
            if let Some(problem) = &shown.problem {
                eprintln!("stampede: {problem}");
            }
            print(&shown.text, shown.ok)
        }
        Err(complaint) => {
            eprintln!("stampede: {complaint}");
            ExitCode::from(WRONG_SETTING)
        }
    }
}

fn print(text: &str, ok: bool) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) if ok => ExitCode::SUCCESS,
        Ok(()) | Err(_) => ExitCode::FAILURE,
    }
}

fn refuse(problems: &Problems) -> ExitCode {
    eprint!("stampede: settings that cannot be used:\n{problems}");
    ExitCode::from(WRONG_SETTING)
}
