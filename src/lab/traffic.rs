//! The background traffic: requests by the service's own routes, at the rate that the conditions say.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::arrivals::{arrive, popular};
use super::conditions::Conditions;
use crate::http::Http;

/// How soon a change of the rate is noticed.
const STRETCH: Duration = Duration::from_millis(200);

/// Sends requests for as long as the lab is there. Costs nothing while there is no traffic.
pub(super) async fn generate(conditions: Arc<Conditions>, http: Arc<Http>) {
    let mut requests = JoinSet::new();
    loop {
        let changed = conditions.changed();
        match conditions.traffic_per_second() {
            0 => changed.await,
            rate => {
                arrive(&mut requests, rate, STRETCH, || request(Arc::clone(&http))).await;
            }
        }
    }
}

async fn request(http: Arc<Http>) {
    // What it says is counted where it is answered.
    let _ = http.get_template(&format!("id={}", popular())).await;
}
