//! Kubernetes reads the alerts in a shape of its own, which `kubernetes/generate` makes of compose's file. The manifests
//! themselves are checked by `.ci/kubernetes`.

const RULES: &str = include_str!("../../prometheus.rules.yaml");
const WRAPPED: &str = include_str!("../../kubernetes/monitoring/prometheusrule.yaml");

#[test]
fn the_alerts_of_kubernetes_are_those_of_compose() {
    let (_, wrapped) = WRAPPED.split_once("\nspec:\n").unwrap();
    let wrapped = wrapped
        .lines()
        .map(|line| line.strip_prefix("  ").unwrap_or(line));
    let rules = RULES.lines().filter(|line| !line.starts_with('#'));
    assert!(
        wrapped.eq(rules),
        "prometheus.rules.yaml has changed: run kubernetes/generate"
    );
}
