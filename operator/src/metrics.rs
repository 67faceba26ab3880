//! Metrics of the operator (`valo_operator_*`): every pass and every step of it, by controller.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// A pass, by how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PassLabels {
    controller: &'static str,
    /// `ok`, or the reason of the failure.
    result: &'static str,
}

/// A step of a controller.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    controller: &'static str,
    step: &'static str,
}

/// An action on the chain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabels {
    action: &'static str,
    result: &'static str,
}

/// All metrics. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    passes: Family<PassLabels, Counter>,
    steps: Family<StepLabels, Histogram>,
    actions: Family<ActionLabels, Counter>,
    /// 1 while this process holds the lease.
    pub leader: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("valo_operator");
        let passes = Family::default();
        let steps = Family::<StepLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.001, 4.0, 8))
        });
        let actions = Family::default();
        let leader = Gauge::default();
        registry.register("reconciles", "Passes over an object, by how they ended", passes.clone());
        registry.register("step_seconds", "How long a step of a pass took", steps.clone());
        registry.register("chain_actions", "Transactions signed with the keys of wallets", actions.clone());
        registry.register("leader", "Whether this process holds the lease", leader.clone());
        Self { registry: Arc::new(Mutex::new(registry)), passes, steps, actions, leader }
    }
}

impl Metrics {
    /// A pass has ended.
    pub fn pass(&self, controller: &'static str, result: &'static str) {
        self.passes.get_or_create(&PassLabels { controller, result }).inc();
    }

    /// A step has ended.
    pub fn step(&self, controller: &'static str, step: &'static str, took: Duration) {
        self.steps.get_or_create(&StepLabels { controller, step }).observe(took.as_secs_f64());
    }

    /// A transaction is final, or was refused.
    pub fn action(&self, action: &'static str, result: &'static str) {
        self.actions.get_or_create(&ActionLabels { action, result }).inc();
    }

    /// The text format of Prometheus.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_and_steps_are_told_by_controller() {
        let metrics = Metrics::default();
        metrics.pass("wallet", "ok");
        metrics.step("wallet", "apply", Duration::from_millis(2));
        let text = metrics.text().unwrap();
        assert!(text.contains("valo_operator_reconciles_total{controller=\"wallet\",result=\"ok\"} 1"), "{text}");
        assert!(text.contains("valo_operator_step_seconds_count{controller=\"wallet\",step=\"apply\"} 1"), "{text}");
    }
}
