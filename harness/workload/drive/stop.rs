//! The signal that ends every lane.

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Hears that the load is to stop.
#[derive(Clone)]
pub(super) struct Stop(watch::Receiver<bool>);

/// Says so.
pub(super) struct StopSwitch(watch::Sender<bool>);

/// A pair of the two.
pub(super) fn stop() -> (StopSwitch, Stop) {
    let (sender, receiver) = watch::channel(false);
    (StopSwitch(sender), Stop(receiver))
}

impl StopSwitch {
    /// Another who hears of it.
    pub fn heard(&self) -> Stop {
        Stop(self.0.subscribe())
    }

    /// Every lane ends once what it has in flight has ended.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether the load is to stop.
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until `instant`; `false`: the load is to stop, now or already.
    pub async fn until(&mut self, instant: Instant) -> bool {
        tokio::select! {
            biased;
            // A sender that is gone says the same.
            _ = self.0.wait_for(|stop| *stop) => false,
            () = sleep_until(instant) => true,
        }
    }
}
