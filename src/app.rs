//! [`App`]: builds the parts of the service and runs them. The lab is mounted last, and only if the settings ask for it.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use crate::backends::{Backends, Faults};
use crate::config::{self, Config, Problems};
use crate::http::{self, Dispatcher, Http, ServerOptions};
use crate::lab::{Lab, Watch};
use crate::metrics::Metrics;
use crate::outages;
use crate::service::TemplateService;
use crate::signals::Signals;
use crate::start_report;
use crate::telemetry;
use crate::telemetry::traces::{self, Exporter};

/// The source that the binary was built from.
const REVISION: &str = match option_env!("STAMPEDE_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Why the service does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Settings that cannot be used.
    #[error(transparent)]
    Settings(#[from] Problems),
    /// The database is a file that cannot be used.
    #[error("{0}")]
    Database(String),
    /// The machine refuses something, such as the address to listen on.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Serves with these settings until a signal.
#[tokio::main]
pub async fn run(config: Box<Config>) -> Result<(), StartError> {
    telemetry::start(config.log_format, &config.log_filter);
    for warning in config::misspelt_variables() {
        warn!("{warning}");
    }
    let address = config.http_addr;
    // On a worker: the thread that waits here would have to be woken for every connection that comes or goes.
    let run = tokio::spawn(async move {
        let signals = Signals::listen()?;
        // Before anything else is started, because the address may be taken. Callers wait in the backlog meanwhile.
        let listener = http::listen(config.http_addr)?;
        let app = App::build(&config).await?;
        Ok(app.serve(listener, signals.shutdown()).await?)
    });
    let ended = run
        .await
        .unwrap_or_else(|panic| resume_unwind(panic.into_panic()));
    match &ended {
        Err(StartError::Io(error)) => error!(%address, %error, "cannot start"),
        Err(error @ StartError::Database(_)) => error!(%error, "cannot start"),
        Ok(()) | Err(StartError::Settings(_)) => {}
    }
    ended
}

/// The service, ready to serve.
pub struct App {
    service: TemplateService,
    http: Arc<Http>,
    lab: Option<Lab>,
    metrics: Arc<Metrics>,
    exporter: Option<Exporter>,
    options: ServerOptions,
}

impl App {
    /// Builds the parts and begins to connect. The service starts without a backend that cannot be reached.
    pub async fn build(config: &Config) -> Result<Self, StartError> {
        let faults = if config.lab {
            Faults::new()
        } else {
            Faults::default()
        };
        let backends = Backends::new(config)?;
        start_report::log(config, &backends, REVISION);
        backends.check_file().await.map_err(StartError::Database)?;
        let metrics = Arc::new(Metrics::new(REVISION));
        let faulty = backends.clone().with_faults(faults.clone());
        let (cache, store) = faulty.open(config, &metrics).await;
        let watch = Watch::default();
        let counted = Arc::clone(&metrics);
        let landed = watch.on_landing();
        let (traces, exporter) = traces::start(&config.otel, &metrics);
        let service = TemplateService::traced(config, cache, store, counted, landed, traces);
        let http = Http::new(service.clone(), Arc::clone(&metrics), config);
        let lab = config.lab.then(|| {
            let service = service.clone();
            let metrics = Arc::clone(&metrics);
            Lab::new(config, backends, faults, service, metrics, watch)
        });
        let options = ServerOptions {
            idle_timeout: config.idle_timeout,
            drain_delay: config.drain_delay,
            shutdown_grace: config.shutdown_grace,
        };
        Ok(Self {
            service,
            http,
            lab,
            metrics,
            exporter,
            options,
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
            metrics,
            exporter,
            options,
        } = self;
        let here = listener.local_addr()?;
        let _watch = AbortOnDropHandle::new(tokio::spawn(outages::watch(metrics)));
        info!("listening on http://{here}");
        info!("try: curl -i 'http://{here}/template-details?id=1'");
        info!("counters: http://{here}/metrics");
        if lab.is_some() {
            info!("page: http://{here}/");
        }
        let lab_routes = lab.as_ref().map(|lab| lab.routes(Arc::clone(&http)));
        let dispatcher = Dispatcher::new(Arc::clone(&http), lab_routes.unwrap_or_default());
        let dispatcher = Arc::new(dispatcher);
        let answer = move |request| Arc::clone(&dispatcher).answer(request);
        let mut deadline = Instant::now();
        http::serve(listener, answer, options, shutdown, || {
            deadline = Instant::now() + options.drain_delay + options.shutdown_grace;
            http.drain();
            if let Some(lab) = &lab {
                lab.stop();
            }
        })
        .await;
        // Loads whose callers have left may still fill the cache.
        service
            .drain(deadline.saturating_duration_since(Instant::now()))
            .await;
        if let Some(exporter) = exporter {
            let left = deadline.saturating_duration_since(Instant::now());
            exporter.flush(left).await;
        }
        info!("done");
        Ok(())
    }
}
