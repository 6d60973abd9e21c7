//! What settings are read from, what they become, and what is said of wrong ones.

use std::time::Duration;

use super::command::{command_from, example, misspelt, table};
use super::*;

fn config(variables: &[(&str, &str)]) -> Result<Config, Problems> {
    Config::from_variables(lookup(variables))
}

fn lookup(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    move |name| {
        variables
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    }
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Command, Problems> {
    let arguments = std::iter::once("stampede")
        .chain(arguments.iter().copied())
        .map(Into::into);
    command_from(arguments, &lookup(variables)).unwrap()
}

#[test]
fn nothing_given_is_the_embedded_default() {
    let config = config(&[]).unwrap();
    assert_eq!(config.http_addr.to_string(), "127.0.0.1:8080");
    assert!(config.database_url.is_none() && config.redis_url.is_none() && config.lab);
    assert_eq!(config.db_delay, Duration::from_millis(25));
    assert_eq!(config.cache_ttl, Duration::from_secs(30));
    assert_eq!(config.cache_ttl_jitter, 0.1);
    assert_eq!(config.protection, Protection::Singleflight);
}

#[test]
fn a_real_database_has_no_artificial_delay_and_no_lab() {
    for url in ["postgres://localhost/app", "mysql://localhost/app"] {
        let config = config(&[("DATABASE_URL", url)]).unwrap();
        assert_eq!((config.db_delay, config.lab), (Duration::ZERO, false));
    }
}

#[test]
fn on_an_address_that_others_reach_the_lab_is_off_unless_it_is_asked_for() {
    for (address, without, asked) in [
        ("0.0.0.0:8080", false, true),
        ("[::]:8080", false, true),
        ("192.0.2.7:8080", false, true),
        ("[::1]:8080", true, true),
        ("127.0.0.2:8080", true, true),
    ] {
        let lab = |variables: &[(&str, &str)]| config(variables).unwrap().lab;
        assert_eq!(lab(&[("HTTP_ADDR", address)]), without, "{address}");
        assert_eq!(lab(&[("HTTP_ADDR", address), ("LAB", "true")]), asked);
    }
}

#[test]
fn a_flag_of_the_comparison_before_the_incident_is_an_error() {
    let arguments = ["stampede", "lab", "--callers", "5", "incident"].map(Into::into);
    assert!(command_from(arguments, &lookup(&[])).is_err());
}

#[test]
fn an_empty_variable_counts_as_not_given() {
    assert!(
        config(&[("REDIS_URL", ""), ("CACHE_TTL", "")])
            .unwrap()
            .redis_url
            .is_none()
    );
}

#[test]
fn every_problem_is_reported_at_once_with_an_example() {
    let wrong = [
        ("HTTP_ADDR", "nowhere"),
        ("CACHE_TTL", "30 parsecs"),
        ("CACHE_TTL_JITTER", "110%"),
        ("MAX_WAITERS", "-1"),
        ("PROTECTION", "maybe"),
        ("DATABASE_URL", "oracle://localhost"),
    ];
    let problems = config(&wrong).unwrap_err();
    let text = problems.to_string();
    for (variable, _) in wrong {
        assert!(text.contains(&format!("  {variable}: ")), "{text}");
        assert!(text.contains(example(variable)), "{text}");
    }
    assert_eq!(problems.0.len(), wrong.len());
}

#[test]
fn the_value_of_a_secret_is_never_shown() {
    let secret = "hunter2";
    for url in [
        "oracle://u:hunter2@h/d",
        "postgres://u:hunter2@[",
        "hunter2",
    ] {
        assert!(
            !config(&[("DATABASE_URL", url)])
                .unwrap_err()
                .to_string()
                .contains(secret)
        );
    }
    let urls = [
        ("DATABASE_URL", "postgres://u:hunter2@db/d?password=hunter2"),
        ("REDIS_URL", "redis://:hunter2@cache"),
    ];
    let shown = format!("{:?}", config(&urls).unwrap());
    assert!(
        !shown.contains(secret) && shown.contains("db/d") && shown.contains("cache"),
        "{shown}"
    );
    let token = [("ADMIN_TOKEN", "a:hunter2")];
    assert!(!format!("{:?}", config(&token).unwrap()).contains(secret));
    let Command::Print(printed) = run(&["--print-config"], &token).unwrap() else {
        panic!("no print")
    };
    assert!(!printed.contains(secret) && printed.contains("ADMIN_TOKEN=***"));
    let Command::Print(printed) = run(&["--print-config"], &urls).unwrap() else {
        panic!("no print")
    };
    assert!(
        !printed.contains(secret) && printed.contains("DATABASE_URL=postgres://u:***@db/d"),
        "{printed}"
    );
}

#[test]
fn the_request_time_out_must_exceed_the_sum_of_the_parts() {
    assert!(config(&[("REQUEST_TIMEOUT", "2600ms")]).is_err());
    assert!(config(&[("REQUEST_TIMEOUT", "2601ms")]).is_ok());
}

#[test]
fn the_artificial_delay_must_leave_time_for_the_query() {
    let problems = config(&[("DB_DELAY", "2s")]).unwrap_err();
    assert_eq!(problems.0[0].variable, "DB_DELAY");
}

#[test]
fn a_flag_wins_over_its_variable() {
    let Command::Serve(config) = run(&["--cache-ttl", "1s"], &[("CACHE_TTL", "2s")]).unwrap()
    else {
        panic!("not serving")
    };
    assert_eq!(config.cache_ttl, Duration::from_secs(1));
}

#[test]
fn a_file_can_hold_the_value() {
    let file = std::env::temp_dir().join(format!("stampede-setting-{}", std::process::id()));
    std::fs::write(&file, "redis://cache:1\n").unwrap();
    let path = file.to_str().unwrap();
    let from_file = config(&[("REDIS_URL_FILE", path)]);
    let twice = config(&[("REDIS_URL_FILE", path), ("REDIS_URL", "redis://other")]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(
        from_file.unwrap().redis_url.unwrap().expose(),
        "redis://cache:1"
    );
    assert!(twice.unwrap_err().to_string().contains("given twice"));
    assert!(
        config(&[("REDIS_URL_FILE", path)])
            .unwrap_err()
            .to_string()
            .contains("cannot be read")
    );
}

#[test]
fn a_flag_that_does_not_exist_ends_with_2() {
    let error = command_from(["stampede", "--nope"].map(Into::into), &lookup(&[])).unwrap_err();
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn help_fits_eighty_columns_and_names_every_setting_with_its_default() {
    let help = |arguments: &[&str]| {
        let arguments = arguments.iter().map(Into::into);
        command_from(arguments, &lookup(&[]))
            .unwrap_err()
            .to_string()
    };
    for arguments in [&["stampede", "--help"][..], &["stampede", "lab", "--help"]] {
        let help = help(arguments);
        assert_eq!(help.lines().find(|line| line.chars().count() > 80), None);
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for row in table().lines().skip(2) {
            let row = row.replace('`', "");
            let cells: Vec<_> = row.split(" | ").collect();
            let (variable, default) = (cells[0].trim_start_matches("| "), cells[1]);
            let end = format!("[env: {variable}] [default: {default}]");
            assert!(words.contains(&end), "{end} in {help}");
        }
    }
}

#[test]
fn the_help_of_the_lab_begins_with_its_own_flags() {
    let arguments = ["stampede", "lab", "--help"].map(Into::into);
    let help = command_from(arguments, &lookup(&[]))
        .unwrap_err()
        .to_string();
    let (own, settings) = help.split_once("Settings of the service:").unwrap();
    assert!(
        own.contains("--callers") && settings.contains("--cache-ttl"),
        "{help}"
    );
}

#[test]
fn the_table_of_settings_in_the_docs_is_made_from_the_declarations() {
    let page = include_str!("../../docs/configuration.md");
    let (_, rest) = page.split_once("<!-- settings: begin -->\n").unwrap();
    let (written, _) = rest.split_once("<!-- settings: end -->").unwrap();
    let table = table();
    assert!(
        written == table,
        "put this between the two markers of docs/configuration.md:\n\n{table}"
    );
}

#[test]
fn a_variable_that_is_nearly_a_setting_is_reported_with_the_nearest_name() {
    for (name, nearest) in [
        ("CACHE_TTLL", "CACHE_TTL"),
        ("DB_TIMOUT", "DB_TIMEOUT"),
        ("LAB_HOST", "LAB_HOSTS"),
        ("ADMIN_TOKEN_FIEL", "ADMIN_TOKEN_FILE"),
    ] {
        let warning = misspelt(name).unwrap();
        assert!(
            warning.contains(name) && warning.contains(&format!("mean {nearest}?")),
            "{warning}"
        );
    }
}

#[test]
fn variables_of_other_programs_are_not_reported() {
    for name in [
        "PATH",
        "HOME",
        "LANG",
        "TAB",
        "LOG_FILE",
        "LOG_LEVEL",
        "RUST_LOG",
        "DATABASE",
        "DATABASE_HOST",
        "DB_HOST",
        "DB_NAME",
        "DB_USER",
        "REDIS_HOST",
        "REDIS_PORT",
        "PGHOST",
        "HTTP_PROXY",
        "HTTP_PORT",
        "HOSTNAME",
        "LS_COLORS",
        "LAB",
        "CACHE_TTL",
        "LAB_FILE",
        "CACHE_TTL_FILE",
    ] {
        assert_eq!(misspelt(name), None, "{name}");
    }
}

#[test]
fn clap_accepts_the_declarations() {
    use clap::Args as _;
    Config::augment_args(clap::Command::new("settings")).debug_assert();
}

#[test]
fn the_health_check_takes_the_same_settings() {
    let command = run(&["healthcheck"], &[("HTTP_ADDR", "0.0.0.0:9")]).unwrap();
    assert!(matches!(command, Command::Healthcheck(config) if config.http_addr.port() == 9));
}
