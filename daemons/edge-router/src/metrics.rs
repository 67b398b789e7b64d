//! The numbers in Prometheus text, gathered when somebody asks.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use convoy_acme::Status;
use convoy_certificates::Resolver;
use convoy_proxy::{LATENCY_BOUNDS_MS, Metrics, Reason, RouteTotals};
use convoy_service::metrics::{self, Registry};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::watch;

/// What the router's own loop knows.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) services: AtomicI64,
    pub(crate) targets: AtomicI64,
    pub(crate) revision: AtomicI64,
    pub(crate) store_up: AtomicI64,
    pub(crate) connections: AtomicI64,
    pub(crate) skipped: AtomicU64,
    pub(crate) log_dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Gathered {
    proxy: Arc<Metrics>,
    gauges: Arc<Gauges>,
    certificates: Counted,
}

/// Where numbers about certificates come from.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) orders: Arc<convoy_acme::Metrics>,
    pub(crate) status: watch::Receiver<Arc<Status>>,
}

/// Makes the numbers readable at `metrics.sock` in the runtime directory.
pub(crate) fn serve(folder: &Path, proxy: Arc<Metrics>, gauges: Arc<Gauges>, certificates: Counted) {
    let path = folder.join("metrics.sock");
    match metrics::bind(&path) {
        Ok(listener) => {
            let mut registry = Registry::with_prefix("edge_router");
            registry.register_collector(Box::new(Gathered { proxy, gauges, certificates }));
            tokio::spawn(metrics::serve(Arc::new(registry), listener));
        }
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "metrics can't be read from outside");
        }
    }
}

impl Collector for Gathered {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let totals = self.proxy.totals();
        for (name, help, value) in [
            ("services", "Services that have targets", self.gauges.services.load(Relaxed)),
            ("targets", "Targets of all services", self.gauges.targets.load(Relaxed)),
            ("table_revision", "Store revision of the table", self.gauges.revision.load(Relaxed)),
            ("store_up", "1 while the store answers", self.gauges.store_up.load(Relaxed)),
            ("connections", "Open client connections", self.gauges.connections.load(Relaxed)),
            (
                "upstream_connections",
                "Open connections to targets",
                i64::try_from(totals.upstream_open).unwrap_or(i64::MAX),
            ),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        for (name, help, value) in [
            ("skipped_values", "Unusable keys and values", self.gauges.skipped.load(Relaxed)),
            (
                "access_log_dropped",
                "Entries of the access log that nobody took",
                self.gauges.log_dropped.load(Relaxed),
            ),
            ("ejections", "Targets left out after refused connections", totals.ejections),
            ("upstream_connects", "Connections made to targets", totals.connects),
            ("tls_failures", "TLS handshakes that failed", totals.tls_failures),
            ("rapid_resets", "Clients cut off for taking back their requests", totals.rapid_resets),
            ("check_failures", "Targets taken out by active checks", totals.check_failures),
            ("malformed_requests", "Connections that spoke no HTTP", totals.malformed),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)?;
        }
        let help = "Requests that no target answered in full";
        let mut family = encoder.encode_descriptor("failures", help, None, MetricType::Counter)?;
        for (reason, &value) in Reason::ALL.iter().zip(&totals.reasons) {
            let labels = [("reason", reason.as_str())];
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        let help = "Unix time at which the certificate of a name ends";
        let mut family =
            encoder.encode_descriptor("certificate_end_seconds", help, None, MetricType::Gauge)?;
        for (name, end) in self.certificates.resolver.certificates().ends() {
            ConstGauge::new(end).encode(family.encode_family(&[("name", name.as_str())])?)?;
        }
        self.encode_orders(&mut encoder)?;
        self.encode_routes(encoder)
    }
}

impl Gathered {
    fn encode_orders(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Counted { resolver, orders, status } = &self.certificates;
        for (name, help, value) in [
            ("acme_orders_placed", "Orders placed with the authority", orders.orders_placed()),
            (
                "acme_orders_taken_over",
                "Orders of another edge that were gone on with",
                orders.orders_taken_over(),
            ),
            ("acme_orders_failed", "Orders that failed, each try counted", orders.orders_failed()),
            ("acme_certificates_issued", "Certificates that were got", orders.certificates_issued()),
            ("acme_http01_answered", "Proofs given to an authority over HTTP", orders.http01_answered()),
            ("acme_http01_unknown", "Requests for proofs that nobody waits for", orders.http01_unknown()),
            ("acme_tls_alpn01_proved", "Proofs given to an authority over TLS", resolver.proved()),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)?;
        }
        let problems = i64::try_from(status.borrow().problems.len()).unwrap_or(i64::MAX);
        let help = "Certificates, files and keys that are of no use";
        let metric = encoder.encode_descriptor("certificate_problems", help, None, MetricType::Gauge)?;
        ConstGauge::new(problems).encode(metric)
    }

    fn encode_routes(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let routes = self.proxy.route_totals();
        let mut family =
            encoder.encode_descriptor("requests", "Requests by status class", None, MetricType::Counter)?;
        for (app, totals) in &routes {
            for (class, &value) in totals.classes.iter().enumerate().skip(1) {
                let class = format!("{class}xx");
                let labels = [("route", app.as_str()), ("class", class.as_str())];
                ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        let numbers = [("retries", "Further tries"), ("response_bytes", "Bytes of answers' bodies")];
        for (name, help) in numbers {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (app, totals) in &routes {
                let labels = [("route", app.as_str())];
                let value = if name == "retries" { totals.retries } else { totals.bytes };
                ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Time from the head of a request to the end of its answer";
        let mut family =
            encoder.encode_descriptor("request_duration_seconds", help, None, MetricType::Histogram)?;
        for (app, totals) in &routes {
            let labels = [("route", app.as_str())];
            let count = totals.latency.iter().sum();
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                totals.latency_sum.as_secs_f64(),
                count,
                &buckets(totals),
                None,
            )?;
        }
        Ok(())
    }
}

/// Upper bound in seconds and count of each bucket; the encoder adds them up.
fn buckets(totals: &RouteTotals) -> Vec<(f64, u64)> {
    let bounds = LATENCY_BOUNDS_MS
        .iter()
        .map(|&millis| std::time::Duration::from_millis(millis).as_secs_f64())
        .chain([f64::INFINITY]);
    bounds.zip(totals.latency.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_names_everything() {
        let gauges = Arc::new(Gauges::default());
        gauges.revision.store(4711, Relaxed);
        let mut registry = Registry::with_prefix("edge_router");
        registry.register_collector(Box::new(Gathered {
            proxy: Arc::default(),
            gauges,
            certificates: Counted {
                resolver: Arc::default(),
                orders: Arc::default(),
                status: watch::channel(Arc::default()).1,
            },
        }));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "edge_router_table_revision 4711",
            "edge_router_ejections_total 0",
            "edge_router_acme_orders_placed_total 0",
            "edge_router_certificate_problems 0",
            "edge_router_failures_total{reason=\"no-target\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn buckets_end_with_everything() {
        let mut totals = RouteTotals::default();
        totals.latency[0] = 2;
        totals.latency[14] = 1;
        let buckets = buckets(&totals);
        assert_eq!((buckets.first(), buckets.last()), (Some(&(0.001, 2)), Some(&(f64::INFINITY, 1))));
    }
}
