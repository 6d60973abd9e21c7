//! Load, by wrk.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// How a server is put under load.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) url: String,
    pub(crate) connections: u32,
    pub(crate) header: Option<&'static str>,
    /// Ask for random templates from 1 to this instead of for the path of the URL.
    pub(crate) templates: Option<u32>,
}

/// What came of it.
pub(crate) struct Answered {
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    pub(crate) p99_micros: f64,
}

impl Load {
    pub(crate) async fn run(&self, duration: Duration) -> io::Result<Answered> {
        let mut command = Command::new("wrk");
        // wrk takes whole seconds only; a signal ends it early, with its report.
        command.args(["--threads=2", "--latency", "--duration=1h", "--timeout=10s"]);
        command.arg(format!("--connections={}", self.connections));
        if let Some(header) = self.header {
            command.args(["--header", header]);
        }
        let script = std::env::temp_dir().join(format!("bench-{}.lua", std::process::id()));
        if let Some(templates) = self.templates {
            let id = format!("math.random({templates})");
            let path = format!("'/template-details?id=' .. {id}");
            let text = format!("request = function() return wrk.format('GET', {path}) end\n");
            std::fs::write(&script, text)?;
            command.arg("--script").arg(&script);
        }
        command
            .arg(&self.url)
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let wrk = command.spawn()?;
        let id = wrk.id().unwrap_or_default().to_string();
        tokio::time::sleep(duration).await;
        Command::new("kill").args(["-INT", &id]).status().await?;
        let output = wrk.wait_with_output().await?;
        let _ = std::fs::remove_file(script);
        let text = String::from_utf8_lossy(&output.stdout);
        read(&text).ok_or_else(|| io::Error::other(format!("not answered as expected:\n{text}")))
    }
}

/// A share of refusals that a busy machine brings about, by time-outs, and that changes no figure.
const FEW_REFUSALS: f64 = 0.001;

/// wrk's report, if as good as every request was answered well.
fn read(text: &str) -> Option<Answered> {
    let after = |word: &str| {
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with(word))?;
        line.trim_start()
            .strip_prefix(word)?
            .split_whitespace()
            .next()
    };
    let requests = text.lines().find(|line| line.contains(" requests in "))?;
    let requests: f64 = requests.split_whitespace().next()?.parse().ok()?;
    let refused = after("Non-2xx or 3xx responses:").map_or(Some(0.0), |text| text.parse().ok())?;
    if refused > requests * FEW_REFUSALS || text.contains("Socket errors") {
        return None;
    }
    Some(Answered {
        requests,
        per_second: after("Requests/sec:")?.parse().ok()?,
        p99_micros: micros(after("99%")?)?,
    })
}

/// Reads `1.23ms`, `45.00us` and `1.10s`.
fn micros(text: &str) -> Option<f64> {
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];
    units
        .iter()
        .find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}
