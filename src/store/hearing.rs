//! [`Hearing`]: whether this process hears of the changes that others make.

use crate::metrics::IntGauge;

/// `change_listener_up`. A second store of the same process sets nothing.
#[derive(Clone)]
pub(super) struct Hearing(Option<IntGauge>);

impl Hearing {
    pub(super) fn new(gauge: Option<IntGauge>) -> Self {
        Self(gauge)
    }

    /// Changes are heard from now on, or there is none to hear.
    pub(super) fn begins(&self) {
        self.set(1);
    }

    /// Changes are missed from now on.
    pub(super) fn ends(&self) {
        self.set(0);
    }

    fn set(&self, value: i64) {
        if let Some(gauge) = &self.0 {
            gauge.set(value);
        }
    }
}
