//! A fault in its course: asked for, in effect, healed.

use std::sync::Arc;

use super::{
    breakage::{Breakage, breakage},
    webhook_fail::Receiver,
};
use crate::{
    model::{
        RunTime,
        fault::{Fault, FaultRecord},
    },
    testbed::{Testbed, TestbedError},
};

/// The run's clock.
pub type Clock = Arc<dyn Fn() -> RunTime + Send + Sync>;

/// A fault that was injected and is to be healed. Dropped instead, it warns and does its best in the background.
#[must_use = "a fault lasts until it is healed"]
pub struct Injected {
    record: FaultRecord,
    breakage: Box<dyn Breakage>,
    testbed: Arc<dyn Testbed>,
    clock: Clock,
    is_over: bool,
}

/// Injects a fault for the named step and observes its effect. That it could not be injected or proven is in the record
/// (`unproven`, with the reason as its proof); there may be something to heal even then.
///
/// The record's `effective` is the moment at which the deed was done, if it was then proven: a proof takes a while, and
/// what is measured counts from the deed.
pub async fn inject(step: &str, fault: &Fault, testbed: Arc<dyn Testbed>, clock: Clock) -> Injected {
    inject_with(step, fault, testbed, None, clock).await
}

/// As [`inject`], where the examiner has a receiver of notices that may be what is to fail.
pub async fn inject_with(
    step: &str,
    fault: &Fault,
    testbed: Arc<dyn Testbed>,
    receiver: Option<Arc<dyn Receiver>>,
    clock: Clock,
) -> Injected {
    let mut record = FaultRecord {
        step: step.to_owned(),
        fault: fault.clone(),
        requested: clock(),
        effective: None,
        proof: String::new(),
        healed: None,
        healing: None,
        unproven: true,
    };
    let mut breakage = breakage(fault, &testbed, receiver);
    let visible = breakage.before(&*testbed).await;
    let done = breakage.act(&*testbed).await;
    let at = clock();
    let proof = match (visible, disturbance(done)) {
        (_, Err(error)) => Err(error.to_string()),
        // It is done all the same: a scenario may have its reasons, but nobody can say that it had an effect.
        (Err(why), Ok(_)) => Err(why),
        (Ok(()), Ok(disturbed)) => breakage.prove(&*testbed).await.map(|proof| with(proof, disturbed)),
    };
    match proof {
        Ok(proof) => {
            record.effective = Some(at);
            record.proof = proof;
            record.unproven = false;
        }
        Err(why) => record.proof = why,
    }
    Injected { record, breakage, testbed, clock, is_over: false }
}

impl Injected {
    /// What became of it so far.
    pub fn record(&self) -> &FaultRecord {
        &self.record
    }

    /// Heals it and observes that it is healed. A healing that failed or could not be proven is in the record.
    pub async fn heal(mut self) -> FaultRecord {
        let done = self.breakage.undo(&*self.testbed).await;
        let at = (self.clock)();
        let proof = match disturbance(done) {
            Ok(disturbed) => self.breakage.prove_healed(&*self.testbed).await.map(|proof| with(proof, disturbed)),
            Err(error) => Err(error.to_string()),
        };
        match proof {
            Ok(proof) => {
                self.record.healed = Some(at);
                self.record.healing = Some(proof);
            }
            Err(why) => {
                self.record.unproven = true;
                self.record.healing = Some(why);
            }
        }
        self.is_over = true;
        self.record.clone()
    }

    /// Leaves it in force: the run is over, and the testbed ends with everything in it.
    pub fn ends_with_the_run(mut self) -> FaultRecord {
        self.is_over = true;
        self.record.clone()
    }
}

/// What is done stays done though something else was disturbed; the record says so.
fn disturbance(done: Result<(), TestbedError>) -> Result<Option<String>, TestbedError> {
    match done {
        Ok(()) => Ok(None),
        Err(TestbedError::Disturbed(how)) => Ok(Some(how)),
        Err(error) => Err(error),
    }
}

fn with(proof: String, disturbed: Option<String>) -> String {
    disturbed.map_or_else(|| proof.clone(), |how| format!("{proof} (on the way: {how})"))
}

impl Drop for Injected {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        tracing::warn!(step = self.record.step, fault = %self.record.fault, "a fault was dropped without being healed");
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut breakage = super::breakage::breakage(&self.record.fault, &self.testbed, None);
        std::mem::swap(&mut breakage, &mut self.breakage);
        let testbed = Arc::clone(&self.testbed);
        runtime.spawn(async move {
            if let Err(error) = breakage.undo(&*testbed).await {
                tracing::warn!(%error, "a dropped fault could not be healed");
            }
        });
    }
}
