//! The dashboard: [`rules`] holds the JSON to what a person needs of it; here, a real Prometheus that scrapes the real
//! service answers every query in it.

mod rules;

use serde_json::Value;
use testkit::{Mode, Prometheus, Proxy, Redis, Service, eventually, postgres};

use rules::{complaints, list, text};

const DASHBOARD: &str = include_str!("../../../grafana/dashboards/singleflight.json");
const DATA_SOURCE: &str = include_str!("../../../grafana/provisioning/datasources/prometheus.yaml");

pub(crate) fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).unwrap()
}

#[test]
fn the_dashboard_keeps_the_rules() {
    assert_eq!(complaints(&dashboard()), [""; 0]);
}

#[test]
fn the_dashboard_asks_the_provisioned_data_source() {
    let dashboard = dashboard();
    let variable = &dashboard["templating"]["list"][0];
    assert_eq!(variable["type"], "datasource");
    let uid = format!("uid: {}\n", text(&variable["current"]["value"]));
    assert!(DATA_SOURCE.contains(&uid), "{uid}");
    let scrape = include_str!("../../../prometheus.yaml");
    assert!(scrape.contains("scrape_interval: 5s\n") && DATA_SOURCE.contains("timeInterval: 5s\n"));
}

type Harm = Box<dyn Fn(&mut Value)>;

/// Every change that takes something away is noticed.
#[test]
fn a_dashboard_that_breaks_a_rule_is_noticed() {
    let expr = |from: &'static str, to: &'static str| {
        move |json: &mut Value| {
            let expr = &mut json["panels"][3]["targets"][0]["expr"];
            assert!(text(expr).contains(from));
            *expr = text(expr).replace(from, to).into();
        }
    };
    let harms: [(&str, Harm); 18] = [
        ("title", Box::new(|json| json["title"] = "Dashboard".into())),
        ("refresh", Box::new(|json| json["refresh"] = "1m".into())),
        (
            "now-5m",
            Box::new(|json| json["time"]["from"] = "now-1h".into()),
        ),
        (
            "description",
            Box::new(|json| json["panels"][1]["description"] = "".into()),
        ),
        (
            "what to do",
            Box::new(|json| json["panels"][1]["description"] = "Whether it is up.".into()),
        ),
        (
            "first row",
            Box::new(|json| rename(json, "Stale Share", "Hit Ratio")),
        ),
        (
            "Flights and ages",
            Box::new(|json| rename(json, "Flights and ages", "Details")),
        ),
        (
            "unit",
            Box::new(|json| json["panels"][1]["fieldConfig"]["defaults"]["unit"] = Value::Null),
        ),
        (
            "legend",
            Box::new(|json| json["panels"][1]["targets"][0]["legendFormat"] = "__auto".into()),
        ),
        (
            "data source",
            Box::new(|json| json["panels"][1]["datasource"]["uid"] = "prometheus".into()),
        ),
        (
            "data source",
            Box::new(|json| json["panels"][1]["targets"][0]["datasource"]["uid"] = "other".into()),
        ),
        ("$__rate_interval", Box::new(expr("$__rate_interval", "1m"))),
        ("$job", Box::new(expr("job=~\"$job\"", "job=\"stampede\""))),
        ("$instance", Box::new(expr(",instance=~\"$instance\"", ""))),
        (
            "In-Flight Requests",
            Box::new(|json| rename(json, "In-Flight Requests", "In Flight")),
        ),
        (
            "overlaps",
            Box::new(|json| json["panels"][2]["gridPos"]["x"] = 0.into()),
        ),
        (
            "variable job",
            Box::new(|json| json["templating"]["list"][1]["name"] = "jobs".into()),
        ),
        (
            "three annotations",
            Box::new(|json| {
                json["annotations"]["list"].as_array_mut().unwrap().pop();
            }),
        ),
    ];
    for (named, harm) in harms {
        let mut harmed = dashboard();
        harm(&mut harmed);
        let found = complaints(&harmed);
        assert!(
            found.iter().any(|complaint| complaint.contains(named)),
            "{named}: {found:?}"
        );
    }
}

fn rename(json: &mut Value, from: &str, to: &str) {
    let mut panels = json["panels"].as_array_mut().unwrap().iter_mut();
    panels.find(|panel| panel["title"] == from).unwrap()["title"] = to.into();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_the_dashboard_returns_data() {
    let redis = Redis::start().await;
    let database = postgres::shared().await.database().await;
    let proxy = Proxy::to(redis.port()).await;
    // Templates expire between two looks.
    let settings = [
        ("DATABASE_URL", &*database),
        ("REDIS_URL", &proxy.url(&redis.url())),
        ("CACHE_TTL", "200ms"),
    ];
    let service = Service::start(&settings).await;
    let scrapes = format!(
        "global: {{ scrape_interval: 250ms, scrape_timeout: 250ms }}\n\
         scrape_configs: [{{ job_name: stampede, static_configs: [{{ targets: ['{}'] }}] }}]",
        service.address()
    );
    let prometheus = Prometheus::start(&scrapes).await;
    let (outage, ordinary): (Vec<_>, Vec<_>) = queries(&dashboard(), "5s")
        .into_iter()
        .partition(|query| ["Redis goes", "Redis comes"].contains(&query.name.as_str()));
    assert!(ordinary.len() > 50, "{ordinary:#?}");
    let [goes, comes] = outage.try_into().unwrap();

    for query in ordinary {
        // The lag of a change is known when there is one.
        postgres::execute(&database, RENAME).await;
        returns_data(&prometheus, &service, query).await;
    }
    proxy.set(Mode::Refuse).await;
    returns_data(&prometheus, &service, goes).await;
    proxy.set(Mode::Pass).await;
    returns_data(&prometheus, &service, comes).await;
}

const RENAME: &str = "UPDATE templates SET name = 'By hand' WHERE id = 1";

/// One query of the dashboard, as its time range and variables would make it.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) name: String,
    /// Empty if it draws no series.
    pub(crate) legend: String,
    pub(crate) expression: String,
}

/// Every query of every panel, annotation and variable, in the order of the page.
pub(crate) fn queries(dashboard: &Value, rate_interval: &str) -> Vec<Query> {
    let panels = list(&dashboard["panels"]).iter().flat_map(|panel| {
        list(&panel["targets"]).iter().map(|target| {
            let expression = text(&target["expr"]).to_owned();
            (
                text(&panel["title"]),
                text(&target["legendFormat"]),
                expression,
            )
        })
    });
    let annotations = list(&dashboard["annotations"]["list"]).iter();
    let annotations = annotations.map(|annotation| {
        (
            text(&annotation["name"]),
            "",
            text(&annotation["expr"]).to_owned(),
        )
    });
    let variables = list(&dashboard["templating"]["list"])
        .iter()
        .filter(|variable| variable["type"] == "query");
    let variables = variables.map(|variable| {
        let query = text(&variable["query"]["query"]);
        let inside = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'));
        let (series, label) = inside.and_then(|inside| inside.rsplit_once(", ")).unwrap();
        (
            text(&variable["name"]),
            "",
            format!("group by ({label}) ({series}{{{label}!=\"\"}})").replace("}{", ","),
        )
    });
    let all = panels.chain(annotations).chain(variables);
    all.map(|(name, legend, expression)| Query {
        name: name.to_owned(),
        legend: legend.to_owned(),
        expression: expression
            .replace("$__rate_interval", rate_interval)
            .replace("$job", ".+")
            .replace("$instance", ".+"),
    })
    .collect()
}

async fn returns_data(prometheus: &Prometheus, service: &Service, query: Query) {
    let Query {
        name, expression, ..
    } = query;
    eventually(&format!("{name} returns data: {expression}"), async || {
        let crowd = service.callers(20, 7).await;
        assert!(crowd.iter().all(|answer| answer.status == 200));
        let found = prometheus.query(&expression).await;
        found.iter().any(|(_, value)| !value.is_nan())
    })
    .await;
}
