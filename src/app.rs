//! [`App`]: the parts, wired ([`App::build`]), and their life ([`App::serve`]).

use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;
use tokio::net::TcpListener;
use tracing::info;

use crate::backends::{Backends, Faults};
use crate::config::{Config, Problems};
use crate::http::{self, Front, Http, Times};
use crate::lab::{Lab, Watch};
use crate::metrics::Metrics;
use crate::service::TemplateService;

/// The source that the binary was built from.
const REVISION: &str = match option_env!("STAMPEDE_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// The service, ready to serve.
pub struct App {
    service: TemplateService,
    http: Http,
    lab: Option<Lab>,
    times: Times,
}

impl App {
    /// Wires the parts and begins to connect. Backends that are away are no error: the service starts without them.
    pub async fn build(config: &Config) -> Result<Self, Problems> {
        let faults = if config.lab {
            Faults::new()
        } else {
            Faults::default()
        };
        let backends = Backends::new(config)?;
        let metrics = Arc::new(Metrics::new(REVISION));
        let faulty = backends.clone().with_faults(faults.clone());
        let (cache, store) = faulty.open(config, &metrics).await;
        let watch = Watch::default();
        let counted = Arc::clone(&metrics);
        let landed = watch.on_landing();
        let service = TemplateService::new(config, cache, store, counted, landed);
        let http = Http::new(service.clone(), Arc::clone(&metrics), config);
        let lab = config.lab.then(|| {
            let service = service.clone();
            Lab::new(config, backends, faults, service, metrics, watch)
        });
        Ok(Self {
            service,
            http,
            lab,
            times: Times {
                idle: config.idle_timeout,
                delay: config.drain_delay,
                grace: config.shutdown_grace,
            },
        })
    }

    /// Answers on this listener until `shutdown` completes, then drains.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> std::io::Result<()> {
        let Self {
            service,
            http,
            lab,
            times,
        } = self;
        let here = listener.local_addr()?;
        info!("listening on http://{here}");
        info!("try: curl -i 'http://{here}/template-details?id=1'");
        info!("counters: http://{here}/metrics");
        if lab.is_some() {
            info!("page: http://{here}/");
        }
        let draining = http.clone();
        let mut deadline = Instant::now();
        let front = Arc::new(Front::new(http, lab.as_ref()));
        let answer = move |request| Arc::clone(&front).answer(request);
        http::serve(listener, answer, times, shutdown, || {
            deadline = Instant::now() + times.delay + times.grace;
            draining.drain();
            let _ = lab.as_ref().map(Lab::stop);
        })
        .await;
        // Loads whose callers have left may still fill the cache.
        service
            .drain(deadline.saturating_duration_since(Instant::now()))
            .await;
        info!("done");
        Ok(())
    }
}

/// Why the service does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Settings that cannot be used.
    #[error(transparent)]
    Settings(#[from] Problems),
    /// The machine refuses something, such as the address to listen on.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
