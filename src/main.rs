//! The binary: the command line's four ways, and the exit code of each.

use std::io::Write as _;
use std::process::ExitCode;

use stampede::app::{self, StartError};
use stampede::config::{self, Command, Problems};
use stampede::{healthcheck, lab};

fn main() -> ExitCode {
    match config::command() {
        Ok(Command::Serve(config)) => match app::run(config) {
            Ok(()) => exit(true),
            Err(StartError::Settings(problems)) => refuse(&problems),
            Err(StartError::Io(_)) => exit(false),
        },
        Ok(Command::Healthcheck(config)) => exit(healthcheck::is_healthy(config.http_addr)),
        Ok(Command::Lab(config, command)) => match lab::show(&config, &command) {
            Ok(shown) => exit(print(&shown.text) && shown.ok),
            Err(complaint) => wrong_setting(&complaint),
        },
        Ok(Command::Print(text)) => exit(print(&text)),
        Err(problems) => refuse(&problems),
    }
}

fn print(text: &str) -> bool {
    std::io::stdout().write_all(text.as_bytes()).is_ok()
}

fn exit(ok: bool) -> ExitCode {
    if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn refuse(problems: &Problems) -> ExitCode {
    wrong_setting(format!("settings that cannot be used:\n{problems}").trim_end())
}

fn wrong_setting(complaint: &str) -> ExitCode {
    eprintln!("stampede: {complaint}");
    ExitCode::from(2)
}
