//! A private Prometheus, for tests of what it makes of our metrics and rules.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use form_urlencoded::byte_serialize;

use super::guarded::{Guarded, Program, create_folder, find_binary, off_runtime};
use super::http;
use super::port::ReservedPort;

/// One Prometheus server on a port of its own.
pub struct Prometheus {
    // Ends with this value.
    _server: Arc<Guarded>,
    port: ReservedPort,
}

impl Prometheus {
    /// Starts a server with this configuration (the text of a `prometheus.yml`, whose paths must be absolute).
    pub async fn start(configuration: &str) -> Self {
        let configuration = configuration.to_owned();
        off_runtime(move || Self::launch(&configuration)).await
    }

    fn launch(configuration: &str) -> Self {
        let port = ReservedPort::new();
        let binary = find_binary("prometheus", &[], "prometheus");
        let folder = create_folder();
        fs::write(folder.join("prometheus.yml"), configuration).expect("a file in our folder");
        let mut command = vec![binary];
        command.push(format!("--web.listen-address=127.0.0.1:{}", port.number()));
        command
            .extend(["--config.file=prometheus.yml", "--storage.tsdb.path=data"].map(String::from));
        let program = Program {
            command,
            ready: "Server is ready",
            last_signal: "KILL",
        };
        Self {
            _server: Guarded::launch(folder, program),
            port,
        }
    }

    /// Where its pages and its API are.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// Evaluates `expression` now: one element per series, by its labels.
    pub async fn query(&self, expression: &str) -> Vec<(BTreeMap<String, String>, f64)> {
        let expression: String = byte_serialize(expression.as_bytes()).collect();
        let answer = http::get(&format!("{}/api/v1/query?query={expression}", self.url())).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let json = answer.json();
        let found = json["data"]["result"].as_array().expect("a vector").iter();
        found
            .map(|sample| (labels(&sample["metric"]), value(&sample["value"][1])))
            .collect()
    }
}

fn labels(metric: &serde_json::Value) -> BTreeMap<String, String> {
    serde_json::from_value(metric.clone()).expect("labels")
}

fn value(value: &serde_json::Value) -> f64 {
    value.as_str().expect("a value").parse().expect("a number")
}
