//! [`Judge`]: what must hold of every answer, whatever is broken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use testkit::http::Answer;

use crate::ask::LONGEST;
use crate::history::{GRACE, History};
use crate::ledger::{self, Ledger, Standing, TEMPLATES};
use crate::stage::TTL;
use crate::tally::Tally;

/// How much older than its TTL an answer may be: it is on its way for a while.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// `SOFT_TIMEOUT` at its default. On a busy machine a load can take longer though the database is well, and then a copy
/// stands in for it.
const SOFT_TIMEOUT: Duration = Duration::from_millis(300);

/// One request and what came of it.
pub(crate) struct Exchange {
    pub(crate) id: i64,
    /// When it should have been sent.
    pub(crate) intended: Instant,
    pub(crate) sent: Instant,
    pub(crate) ended: Instant,
    pub(crate) outcome: Result<Answer, String>,
}

/// Judges answers, and counts them.
pub(crate) struct Judge {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) history: Arc<History>,
    pub(crate) tally: Arc<Tally>,
}

impl Judge {
    /// Counts an exchange, and the promises that it breaks.
    pub(crate) fn hear(&self, exchange: &Exchange) {
        let well = self
            .history
            .database_was_well(exchange.sent, exchange.ended, GRACE);
        let source = source(&exchange.outcome);
        self.tally
            .count(source, well, exchange.ended - exchange.intended);
        let took = exchange.ended - exchange.sent;
        if took > LONGEST {
            self.report(exchange, "it took longer than any request may");
        }
        match &exchange.outcome {
            Err(_) => self.report(exchange, "there is no answer"),
            Ok(answer) => {
                if let Some(wrong) = self.wrong_with(exchange, answer, source, well) {
                    self.report(exchange, &wrong);
                }
            }
        }
    }

    fn wrong_with(
        &self,
        asked: &Exchange,
        answer: &Answer,
        source: &str,
        well: bool,
    ) -> Option<String> {
        match answer.status {
            200 if source == "stale" && well && asked.ended - asked.sent < SOFT_TIMEOUT => {
                Some("stale at once, although the database is well".into())
            }
            200 => self.wrong_with_template(asked, answer, source == "stale"),
            404 if asked.id > TEMPLATES => None,
            404 => Some("there is such a template".into()),
            503 if answer.header("retry-after").is_none() => Some("there is no Retry-After".into()),
            503 if well => Some("refused, although the database is well".into()),
            503 => None,
            _ => Some("no such status may come".into()),
        }
    }

    fn wrong_with_template(
        &self,
        asked: &Exchange,
        answer: &Answer,
        stale: bool,
    ) -> Option<String> {
        if asked.id > TEMPLATES {
            return Some("there is no such template".into());
        }
        let Ok(body) = serde_json::from_slice::<serde_json::Value>(&answer.body) else {
            return Some("the body is not JSON".into());
        };
        let version = body["version"].as_i64().unwrap_or_default();
        if body["id"] != asked.id {
            return Some("it is another template".into());
        }
        if body["name"] != ledger::name(asked.id, version) {
            return Some("that is not its name in this version".into());
        }
        if answer.header("etag") != Some(&format!("\"{}-{version}\"", asked.id)) {
            return Some("the ETag names another version".into());
        }
        if stale && answer.header("cache-control") != Some("no-store") {
            return Some("stale, but it may be stored".into());
        }
        match self.ledger.standing(asked.id, version) {
            Standing::Unheard => Some("nobody has written this version".into()),
            Standing::ReplacedAt(then) if !stale && then + TTL + ON_ITS_WAY < asked.sent => {
                Some(format!(
                    "replaced {:?} before it was asked for, and not marked as stale",
                    asked.sent - then
                ))
            }
            Standing::ReplacedAt(_) | Standing::Current => None,
        }
    }

    fn report(&self, exchange: &Exchange, wrong: &str) {
        let faults = self.history.between(exchange.sent, exchange.ended);
        let took = exchange.ended - exchange.sent;
        let came = match &exchange.outcome {
            Err(error) => error.clone(),
            Ok(answer) => format!(
                "{} [{}] {}",
                answer.status,
                answer.header("cache-status").unwrap_or("no Cache-Status"),
                String::from_utf8_lossy(&answer.body)
                    .chars()
                    .take(200)
                    .collect::<String>()
            ),
        };
        let id = exchange.id;
        self.tally.violation(&format!(
            "{wrong}: asked for {id}, after {took:?} came {came}; broken: {faults}"
        ));
    }
}

/// Where an answer came from, by what it says of itself.
pub(crate) fn source(outcome: &Result<Answer, String>) -> &'static str {
    let Ok(answer) = outcome else { return "none" };
    let cache_status = answer.header("cache-status").unwrap_or_default();
    let says = |word| cache_status.contains(word);
    match answer.status {
        200 if says("detail=stale") => "stale",
        200 if says("detail=local") => "local",
        200 if says("detail=near") => "near",
        200 if says("; hit;") => "hit",
        200 if says("; collapsed") => "shared",
        200 => "loaded",
        404 => "not found",
        503 => "refused",
        _ => "error",
    }
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::*;

    const LATER: Duration = Duration::from_secs(10);

    fn verdict(
        id: i64,
        status: u16,
        cache_status: &str,
        version: i64,
        replaced: bool,
        well: bool,
    ) -> Option<String> {
        let (ledger, history) = (Arc::new(Ledger::new()), Arc::new(History::new()));
        if replaced {
            ledger.begin(7);
            ledger.committed(7);
        }
        let _broken = (!well).then(|| history.begin("database lock".into(), true));
        let judge = Judge {
            ledger,
            history: Arc::clone(&history),
            tally: Arc::new(Tally::new()),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("cache-status", format!("stampede; {cache_status}")),
            ("etag", format!("\"7-{version}\"")),
            ("cache-control", "no-store".into()),
            ("retry-after", "1".into()),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let name = ledger::name(7, version);
        let body = format!(r#"{{"id":7,"name":"{name}","version":{version}}}"#).into();
        let answer = Answer {
            status,
            headers,
            body,
        };
        let at = Instant::now() + LATER;
        let asked = Exchange {
            id,
            intended: at,
            sent: at,
            ended: at,
            outcome: Ok(answer),
        };
        let Ok(answer) = &asked.outcome else {
            unreachable!()
        };
        judge.wrong_with(&asked, answer, source(&asked.outcome), well)
    }

    #[test]
    fn what_may_come_is_not_held_against_the_service() {
        for verdict in [
            verdict(7, 200, "hit; ttl=1", 1, false, true),
            verdict(7, 200, "hit; ttl=-9; detail=stale", 1, true, false),
            verdict(7, 503, "", 1, false, false),
            verdict(1_001, 404, "", 1, false, true),
        ] {
            assert_eq!(verdict, None);
        }
    }

    #[test]
    fn what_must_not_come_is() {
        for verdict in [
            verdict(8, 200, "hit; ttl=1", 1, false, true),
            verdict(1_001, 200, "hit; ttl=1", 1, false, true),
            verdict(7, 200, "hit; ttl=1", 2, false, true),
            verdict(7, 200, "hit; ttl=1", 1, true, false),
            verdict(7, 200, "hit; ttl=-9; detail=stale", 1, true, true),
            verdict(7, 404, "", 1, false, false),
            verdict(7, 503, "", 1, false, true),
            verdict(7, 500, "", 1, false, false),
        ] {
            assert!(verdict.is_some());
        }
    }
}
