//! The lab's routes, as [the interface](super) describes them.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Router, middleware};
use futures_util::stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::MutexGuard;

use super::arrivals::TEMPLATES;
use super::conditions::ConditionsOrder;
use super::experiments::{Experiment, ExperimentOrder};
use super::explain::explain;
use super::limits::LIMITS;
use super::plan::{IncidentOrder, StampedeOrder};
use super::predict::Situation;
use super::run::Run;
use super::runs::NotBegun;
use super::story::{self, StoryOrder};
use super::strategy::Strategy;
use super::{Lab, assets, experiments, guard, incident, stampede};
use crate::http::{Http, HttpError};

/// What the handlers share.
#[derive(Clone)]
struct LabState {
    lab: Lab,
    http: Arc<Http>,
}

const LONGEST_BODY: usize = 16 * 1024;

type Answer = Result<Response, HttpError>;

pub(super) fn router(lab: Lab, http: Arc<Http>) -> Router {
    let read_only = |route: MethodRouter<LabState>| route.fallback(async || HttpError::READ_ONLY);
    let guarded = middleware::from_fn_with_state(lab.clone(), guard::guard);
    Router::new()
        .route("/lab", read_only(get(choices)))
        .route("/lab/live", read_only(get(live)))
        .route("/lab/flights", read_only(get(flights)))
        .route("/lab/explain", read_only(get(explained)))
        .route("/lab/predict", read_only(get(predicted)))
        .route("/lab/traces", read_only(get(traces)))
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
            "/lab/story",
            only("POST", MethodRouter::new().post(tell_story)),
        )
        .route(
            "/lab/runs/experiment",
            only("POST", MethodRouter::new().post(begin_experiment)),
        )
        .route(
            "/lab/runs/{id}",
            only("GET, HEAD, DELETE", get(run).delete(stop_run)),
        )
        .route("/lab/assets/{file}", read_only(get(asset)))
        .layer(guarded)
        .route("/", read_only(get(assets::page)))
        .with_state(LabState { lab, http })
}

fn only(allow: &'static str, route: MethodRouter<LabState>) -> MethodRouter<LabState> {
    route.fallback(async move || HttpError::MethodNotAllowed { allow })
}

async fn choices(State(state): State<LabState>) -> Answer {
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
    let backends = &state.lab.shared.ground.backends;
    Ok(json(&serde_json::json!({
        "database": backends.database_kind(),
        "cache": backends.cache_kind(),
        "templates": {"least": 1, "most": TEMPLATES},
        "strategies": Strategy::ALL.map(Strategy::about),
        "experiments": Experiment::ALL.map(Experiment::about),
        "limits": LIMITS,
        "defaults": {"stampede": stampede, "sustained": sustained, "incident": incident},
    })))
}

async fn live(State(state): State<LabState>, request: Request) -> Answer {
    let shared = &state.lab.shared;
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
    Ok(json(&Now {
        process: &shared.runs.process,
        live: shared.live.view(since, &shared.ground.metrics),
        backends: serde_json::json!({
            "database_up": shared.service.database_is_up(),
            "cache_up": shared.service.cache_is_up(),
        }),
        conditions: shared.conditions.view(page.as_deref()),
        run: shared.runs.last().map(|run| run.brief()),
    }))
}

async fn flights(State(state): State<LabState>) -> Answer {
    Ok(json(&state.lab.shared.ground.flights.view()))
}

async fn explained(State(state): State<LabState>, request: Request) -> Answer {
    let id = request.uri().query().unwrap_or_default();
    let id = id.strip_prefix("id=").ok_or(HttpError::BadRequest(
        "the parameter id is missing: ask for /lab/explain?id=1",
    ))?;
    let traces = &state.lab.shared.ground.traces;
    let explained = explain(&state.http, traces, id).await;
    Ok(json(&explained.ok_or(HttpError::Internal)?))
}

async fn predicted(request: Request) -> Answer {
    let number = |name| {
        let given = parameter(&request, name).and_then(|text| text.parse::<u32>().ok());
        let given = given.filter(|number| *number > 0).map(f64::from);
        given.ok_or(HttpError::BadRequest(
            "rate_per_second, keys, query_time_ms, ttl_ms, replicas, knee and goal_ms must be whole numbers from 1",
        ))
    };
    let situation = Situation {
        rate: number("rate_per_second")?,
        keys: number("keys")?,
        query_time: number("query_time_ms")? / 1e3,
        ttl: number("ttl_ms")? / 1e3,
        replicas: number("replicas")?,
        knee: number("knee")?,
        goal: number("goal_ms")? / 1e3,
    };
    Ok(json(&situation.prediction()))
}

async fn traces(State(state): State<LabState>) -> Answer {
    Ok(json(&state.lab.shared.ground.traces.view()))
}

async fn conditions(State(state): State<LabState>, headers: HeaderMap) -> Answer {
    let page = guard::page(&headers);
    Ok(json(&state.lab.shared.conditions.view(page.as_deref())))
}

async fn set_conditions(State(state): State<LabState>, request: Request) -> Answer {
    let page = guard::page(request.headers()).ok_or(HttpError::Internal)?;
    let order: ConditionsOrder = read(request).await?;
    let conditions = &state.lab.shared.conditions;
    conditions
        .set(&page, &order)
        .map_err(HttpError::BadRequest)?;
    Ok(json(&conditions.view(Some(&page))))
}

async fn clear_conditions(State(state): State<LabState>, headers: HeaderMap) -> Answer {
    state.lab.shared.conditions.clear();
    conditions(State(state), headers).await
}

async fn begin_stampede(State(state): State<LabState>, request: Request) -> Answer {
    let order: StampedeOrder = read(request).await?;
    let plan = order.check().map_err(HttpError::BadRequest)?;
    let shared = &state.lab.shared;
    let _turn = end_story(&state).await;
    accepted(stampede::begin(
        &shared.runs,
        Arc::clone(&shared.ground),
        plan,
    ))
}

async fn begin_incident(State(state): State<LabState>, request: Request) -> Answer {
    let order: IncidentOrder = read(request).await?;
    let plan = order.check().map_err(HttpError::BadRequest)?;
    let shared = &state.lab.shared;
    let _turn = end_story(&state).await;
    accepted(incident::begin(
        &shared.runs,
        Arc::clone(&shared.ground),
        plan,
    ))
}

/// Ends the story that is being told, if one is: a run does not wait for it. Nothing else begins while the guard is held.
async fn end_story(state: &LabState) -> MutexGuard<'_, ()> {
    let shared = &state.lab.shared;
    let turn = shared.next_story.lock().await;
    if let Some(story) = shared.stories.last() {
        story.stop();
        story.over().await;
    }
    turn
}

async fn tell_story(State(state): State<LabState>, request: Request) -> Answer {
    let order: StoryOrder = read(request).await?;
    let shared = &state.lab.shared;
    let _turn = end_story(&state).await;
    if shared.runs.last().is_some_and(|run| !run.is_over()) {
        return Err(refused(NotBegun::Busy));
    }
    let ground = Arc::clone(&shared.ground);
    let lines = story::begin(&shared.stories, ground, order).map_err(refused)?;
    let lines = stream::unfold(lines, async |mut lines| {
        let line = lines.recv().await?;
        Some((Ok::<_, Infallible>(line), lines))
    });
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-ndjson"),
        ),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

async fn begin_experiment(State(state): State<LabState>, request: Request) -> Answer {
    let order: ExperimentOrder = read(request).await?;
    let plan = order.check().map_err(HttpError::BadRequest)?;
    let shared = &state.lab.shared;
    let _turn = end_story(&state).await;
    accepted(experiments::begin(
        &shared.runs,
        Arc::clone(&shared.ground),
        plan,
    ))
}

async fn run(State(state): State<LabState>, Path(id): Path<String>) -> Answer {
    Ok(json(&find(&state, &id)?.view()))
}

async fn stop_run(State(state): State<LabState>, Path(id): Path<String>) -> Answer {
    let run = find(&state, &id)?;
    let status = if run.stop() {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    run.over().await;
    Ok((status, json(&run.view())).into_response())
}

async fn asset(Path(file): Path<String>) -> Answer {
    assets::find(&file).ok_or(HttpError::NotFound)
}

fn find(state: &LabState, id: &str) -> Result<Arc<Run>, HttpError> {
    let id = id.parse().map_err(|_| HttpError::NotFound)?;
    state.lab.shared.runs.find(id).ok_or(HttpError::NotFound)
}

fn refused(why: NotBegun) -> HttpError {
    match why {
        NotBegun::Busy => HttpError::Busy(
            "a run is under way, or was stopped and is about to end; stop it or wait for its end",
        ),
        NotBegun::TooLarge(why) => HttpError::BadRequest(why),
    }
}

fn accepted(begun: Result<Arc<Run>, NotBegun>) -> Answer {
    let run = begun.map_err(refused)?;
    let mut response = (StatusCode::ACCEPTED, json(&run.view())).into_response();
    let location = HeaderValue::try_from(format!("/lab/runs/{}", run.id));
    let location = location.map_err(|_| HttpError::Internal)?;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// Reads a body in JSON. An empty one means the defaults.
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

fn json(value: &impl Serialize) -> Response {
    let Ok(text) = serde_json::to_vec(value) else {
        return HttpError::Internal.into_response();
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, text).into_response()
}
