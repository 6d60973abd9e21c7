//! The lab's routes, as [the interface](super) describes them.

use std::sync::Arc;

use axum::body::{Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Router, middleware};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::arrivals::TEMPLATES;
use super::conditions::Forecast;
use super::explain::explain;
use super::limits::LIMITS;
use super::plan::{IncidentOrder, StampedeOrder};
use super::run::Run;
use super::runs::NotBegun;
use super::strategy::Strategy;
use super::{Lab, assets, guard, incident, stampede};
use crate::http::{HttpError, InProcess};

/// What the handlers share.
#[derive(Clone)]
struct Desk {
    lab: Lab,
    service: InProcess,
}

const READ: &str = "GET, HEAD";
const LONGEST_BODY: usize = 16 * 1024;

type Answer = Result<Response, HttpError>;

pub(super) fn router<S>(lab: Lab, service: InProcess) -> Router<S> {
    let guarded = middleware::from_fn_with_state(lab.clone(), guard::guard);
    Router::new()
        .route("/lab", only(READ, get(choices)))
        .route("/lab/live", only(READ, get(live)))
        .route("/lab/flights", only(READ, get(flights)))
        .route("/lab/explain", only(READ, get(explained)))
        .route(
            "/lab/conditions",
            only(
                "GET, HEAD, POST, DELETE",
                get(conditions)
                    .post(set_conditions)
                    .delete(clear_conditions),
            ),
        )
        .route(
            "/lab/runs/stampede",
            only("POST", MethodRouter::new().post(begin_stampede)),
        )
        .route(
            "/lab/runs/incident",
            only("POST", MethodRouter::new().post(begin_incident)),
        )
        .route(
            "/lab/runs/{id}",
            only("GET, HEAD, DELETE", get(run).delete(stop_run)),
        )
        .route("/lab/assets/{file}", only(READ, get(asset)))
        .layer(guarded)
        .route("/", only(READ, get(assets::page)))
        .with_state(Desk { lab, service })
}

fn only(allow: &'static str, route: MethodRouter<Desk>) -> MethodRouter<Desk> {
    route.fallback(async move || HttpError::MethodNotAllowed { allow })
}

async fn choices(State(desk): State<Desk>) -> Answer {
    let defaults = (
        StampedeOrder::default().check(),
        StampedeOrder {
            mode: Some("sustained".into()),
            ..StampedeOrder::default()
        }
        .check(),
        IncidentOrder::default().check(),
    );
    let (Ok(stampede), Ok(sustained), Ok(incident)) = defaults else {
        return Err(HttpError::Internal);
    };
    let backends = &desk.lab.shared.ground.backends;
    Ok(shown(&json!({
        "database": backends.database_kind(),
        "cache": backends.cache_kind(),
        "templates": {"least": 1, "most": TEMPLATES},
        "strategies": Strategy::ALL.map(Strategy::about),
        "limits": LIMITS,
        "defaults": {"stampede": stampede, "sustained": sustained, "incident": incident},
    })))
}

async fn live(State(desk): State<Desk>, request: Request) -> Answer {
    let shared = &desk.lab.shared;
    let since = match parameter(&request, "since") {
        None => 0,
        Some(since) => since
            .parse()
            .map_err(|_| HttpError::BadRequest("since must be the seq of a sample"))?,
    };
    let page = guard::page(request.headers());
    #[derive(Serialize)]
    struct Now<'a, L, C, R> {
        process: &'a str,
        #[serde(flatten)]
        live: L,
        backends: serde_json::Value,
        conditions: C,
        run: Option<R>,
    }
    Ok(shown(&Now {
        process: &shared.runs.process,
        live: shared.live.view(since, &shared.ground.metrics),
        backends: json!({
            "database_up": shared.service.database_is_up(),
            "cache_up": shared.service.cache_is_up(),
        }),
        conditions: shared.conditions.view(page.as_deref()),
        run: shared.runs.last().map(|run| run.brief()),
    }))
}

async fn flights(State(desk): State<Desk>) -> Answer {
    Ok(shown(&desk.lab.shared.ground.flights.view()))
}

async fn explained(State(desk): State<Desk>, request: Request) -> Answer {
    let id = request.uri().query().unwrap_or_default();
    let id = id.strip_prefix("id=").ok_or(HttpError::BadRequest(
        "the parameter id is missing: ask for /lab/explain?id=1",
    ))?;
    let explained = explain(&desk.service, id).await;
    Ok(shown(&explained.ok_or(HttpError::Internal)?))
}

async fn conditions(State(desk): State<Desk>, headers: HeaderMap) -> Answer {
    let page = guard::page(&headers);
    Ok(shown(&desk.lab.shared.conditions.view(page.as_deref())))
}

async fn set_conditions(State(desk): State<Desk>, request: Request) -> Answer {
    let page = guard::page(request.headers()).ok_or(HttpError::Internal)?;
    let forecast: Forecast = read(request).await?;
    let conditions = &desk.lab.shared.conditions;
    conditions
        .set(&page, &forecast)
        .map_err(HttpError::BadRequest)?;
    Ok(shown(&conditions.view(Some(&page))))
}

async fn clear_conditions(State(desk): State<Desk>, headers: HeaderMap) -> Answer {
    desk.lab.shared.conditions.clear();
    conditions(State(desk), headers).await
}

async fn begin_stampede(State(desk): State<Desk>, request: Request) -> Answer {
    let order: StampedeOrder = read(request).await?;
    let plan = order.check().map_err(HttpError::BadRequest)?;
    let shared = &desk.lab.shared;
    accepted(stampede::begin(
        &shared.runs,
        Arc::clone(&shared.ground),
        plan,
    ))
}

async fn begin_incident(State(desk): State<Desk>, request: Request) -> Answer {
    let order: IncidentOrder = read(request).await?;
    let plan = order.check().map_err(HttpError::BadRequest)?;
    let shared = &desk.lab.shared;
    accepted(incident::begin(
        &shared.runs,
        Arc::clone(&shared.ground),
        plan,
    ))
}

async fn run(State(desk): State<Desk>, Path(id): Path<String>) -> Answer {
    Ok(shown(&find(&desk, &id)?.view()))
}

async fn stop_run(State(desk): State<Desk>, Path(id): Path<String>) -> Answer {
    let run = find(&desk, &id)?;
    let status = if run.stop() {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    run.over().await;
    Ok((status, shown(&run.view())).into_response())
}

async fn asset(Path(file): Path<String>) -> Answer {
    assets::find(&file).ok_or(HttpError::NotFound)
}

fn find(desk: &Desk, id: &str) -> Result<Arc<Run>, HttpError> {
    let id = id.parse().map_err(|_| HttpError::NotFound)?;
    desk.lab.shared.runs.find(id).ok_or(HttpError::NotFound)
}

fn accepted(begun: Result<Arc<Run>, NotBegun>) -> Answer {
    let run = begun.map_err(|why| match why {
        NotBegun::Busy => HttpError::Busy,
        NotBegun::TooLarge(why) => HttpError::BadRequest(why),
    })?;
    let mut response = (StatusCode::ACCEPTED, shown(&run.view())).into_response();
    let location = HeaderValue::try_from(format!("/lab/runs/{}", run.id));
    let location = location.map_err(|_| HttpError::Internal)?;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// A body in JSON; an empty one asks for nothing in particular.
async fn read<T: DeserializeOwned + Default>(request: Request) -> Result<T, HttpError> {
    let body = to_bytes(request.into_body(), LONGEST_BODY).await;
    let body: Bytes = body.map_err(|_| HttpError::TooLarge)?;
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&body).map_err(|_| {
        HttpError::BadRequest(
            "the body must be a JSON object with fields that this address knows, and values of their kind",
        )
    })
}

fn parameter(request: &Request, name: &str) -> Option<String> {
    let query = request.uri().query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes())
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.into_owned())
}

fn shown(value: &impl Serialize) -> Response {
    let Ok(text) = serde_json::to_vec(value) else {
        return HttpError::Internal.into_response();
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, text).into_response()
}
