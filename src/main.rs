//! The binary: the command line's four ways, and their exit codes.

use std::io::Write as _;
use std::process::ExitCode;

use stampede::app::{self, StartError};
use stampede::config::{self, Command, Problems};
use stampede::{healthcheck, lab};

fn main() -> ExitCode {
    let ok = match config::command() {
        Ok(Command::Serve(config)) => match app::run(config) {
            Err(StartError::Settings(problems)) => return refuse(&problems),
            ended => ended.is_ok(),
        },
        Ok(Command::Healthcheck(config)) => healthcheck::is_healthy(config.http_addr),
        Ok(Command::Lab(config, command)) => match lab::show(&config, &command) {
            Ok(shown) => print(&shown.text) && shown.ok,
            Err(complaint) => return wrong_setting(&complaint),
        },
        Ok(Command::Print(text)) => {
            for warning in config::misspelt_variables() {
                eprintln!("stampede: {warning}");
            }
            print(&text)
        }
        Err(problems) => return refuse(&problems),
    };
    ExitCode::from(u8::from(!ok))
}

fn print(text: &str) -> bool {
    std::io::stdout().write_all(text.as_bytes()).is_ok()
}

fn refuse(problems: &Problems) -> ExitCode {
    wrong_setting(format!("settings that cannot be used:\n{problems}").trim_end())
}

fn wrong_setting(complaint: &str) -> ExitCode {
    eprintln!("stampede: {complaint}");
    ExitCode::from(2)
}
