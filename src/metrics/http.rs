//! [`HttpMetrics`]: requests by route, method and status.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::labels::{Labels, Method, Route};
use super::{Register, SECONDS};

/// Requests by route, method and status; their durations; and how many are being answered.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    total: IntCounterVec,
    endpoints: Vec<Endpoint>,
    /// `http_in_flight_requests`.
    pub in_flight: IntGauge,
}

/// One route under one method.
#[derive(Clone, Debug)]
struct Endpoint {
    duration: Histogram,
    statuses: Vec<(u16, IntCounter)>,
}

/// The status of a request whose caller hung up before the answer.
pub const HUNG_UP: u16 = 499;

impl HttpMetrics {
    pub(super) fn new(register: &Register<'_>) -> Self {
        let total = register.counter_vec(
            "http_request_total",
            "Requests answered",
            &["path", "method", "status"],
        );
        let durations = register.histograms(
            "http_request_duration_seconds",
            "Time from a request's head to its answer",
            SECONDS,
            &["path", "method"],
        );
        let endpoint = |(route, method): (Route, Method)| Endpoint {
            duration: durations.with_label_values(&[route.as_str(), method.as_str()]),
            statuses: possible_statuses(route, method)
                .iter()
                .map(|&status| (status, counter(&total, route, method, status)))
                .collect(),
        };
        let endpoints = <(Route, Method)>::all().into_iter().map(endpoint).collect();
        let in_flight = register.gauge("http_in_flight_requests", "Requests being answered now");
        Self {
            total,
            endpoints,
            in_flight,
        }
    }

    /// The durations of a route under a method.
    pub(super) fn durations(&self, route: Route, method: Method) -> &Histogram {
        &self.endpoints[(route, method).index()].duration
    }

    /// How many requests of a route were answered with this status, over all methods.
    pub fn answered(&self, route: Route, status: u16) -> u64 {
        let endpoints = Method::ALL
            .iter()
            .map(|method| &self.endpoints[(route, *method).index()]);
        let counters = endpoints.flat_map(|endpoint| &endpoint.statuses);
        counters
            .filter(|(known, _)| *known == status)
            .map(|(_, counter)| counter.get())
            .sum()
    }

    /// Counts one request, once it has its answer.
    pub fn observe(&self, route: Route, method: Method, status: u16, seconds: f64) {
        let endpoint = &self.endpoints[(route, method).index()];
        endpoint.duration.observe(seconds);
        match endpoint.statuses.iter().find(|(known, _)| *known == status) {
            Some((_, counter)) => counter.inc(),
            None => counter(&self.total, route, method, status).inc(),
        }
    }
}

fn counter(total: &IntCounterVec, route: Route, method: Method, status: u16) -> IntCounter {
    total.with_label_values(&[route.as_str(), method.as_str(), &status.to_string()])
}

/// The statuses that a route can answer to a method. Each has its series from the start.
fn possible_statuses(route: Route, method: Method) -> &'static [u16] {
    match (route, method) {
        (Route::Unmatched, _) => &[404, HUNG_UP],
        (Route::TemplateDetails, Method::Get | Method::Head) => {
            &[200, 304, 400, 404, HUNG_UP, 500, 503]
        }
        (Route::TemplateDetails, Method::Put) => &[200, 400, 401, 404, 412, 413, HUNG_UP, 500, 503],
        (Route::TemplateDetails, Method::Delete) => &[204, 400, 401, 404, 412, HUNG_UP, 500, 503],
        (Route::Lab, Method::Get | Method::Head) => &[200, 403, 404, HUNG_UP],
        (Route::Lab, Method::Post) => &[200, 202, 400, 403, 409, HUNG_UP],
        (Route::Lab, Method::Delete) => &[200, 202, 403, 404, HUNG_UP],
        (Route::Readyz, Method::Get | Method::Head) => &[200, HUNG_UP, 503],
        (_, Method::Get | Method::Head) => &[200, HUNG_UP],
        _ => &[405, HUNG_UP],
    }
}
