//! What a testbed is made of, whichever it is, and the choice among them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Testbed, TestbedError,
    layout::Settings,
    native::Native,
    setup::{self, Programs, Progress, SetupMode},
};
use crate::{
    api::{
        Region,
        role::{Policy, Timers},
        sabotage::Sabotage,
    },
    model::{process::ProcessName, testbed::TestbedName},
};

/// What a run needs of a testbed.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The regions.
    pub regions: [Region; 2],
    /// Zones of each region: one or three.
    pub zones: u8,
    /// Slots: how many environments there can be at most.
    pub environments_max: u16,
    /// The platform's timers.
    pub timers: Timers,
    /// How the platform decides.
    pub policy: Policy,
    /// The way in which the platform is broken on purpose, if it is.
    pub sabotage: Option<Sabotage>,
    /// The binary that is started as `<binary> role <name> --config <file>`.
    pub role_binary: PathBuf,
    /// Folder in which the run's own folder is made.
    pub parent_folder: PathBuf,
    /// Name of the run's folder. Short: sockets live in it.
    pub run_id: String,
    /// Regions whose processes together may use no more than so many thousandths of a processor.
    pub quotas: BTreeMap<Region, u32>,
    /// Processes whose host gets a disk of its own that is small enough to be filled, where hosts have disks of their own.
    pub small_disks: Vec<ProcessName>,
}

impl Spec {
    /// What the roles are told besides where everything is.
    pub(super) fn settings(&self) -> Settings<'_> {
        Settings { timers: &self.timers, policy: &self.policy, sabotage: self.sabotage }
    }

    /// The run's folder.
    ///
    /// # Errors
    /// [`TestbedError::Unusable`].
    pub fn folder(&self) -> Result<PathBuf, TestbedError> {
        let said = |path: &Path, error| TestbedError::Unusable(format!("{}: {error}", path.display()));
        let parent = std::path::absolute(&self.parent_folder).map_err(|error| said(&self.parent_folder, error))?;
        Ok(parent.join(&self.run_id))
    }
}

/// A testbed of which everything that it runs is there.
pub enum Equipped {
    /// With the servers that it runs.
    Native(Programs),
    /// With the engine and the images that it runs.
    #[cfg(feature = "compose")]
    Compose(super::compose::Engine),
}

impl Equipped {
    /// Finds what a testbed runs, or makes what is missing.
    ///
    /// # Errors
    /// [`TestbedError::Unusable`] with what is missing and what gets it.
    pub async fn find(name: TestbedName, progress: &dyn Progress, mode: SetupMode) -> Result<Self, TestbedError> {
        match name {
            TestbedName::Native => Ok(Self::Native(setup::ensure(progress, mode).await?)),
            #[cfg(feature = "compose")]
            TestbedName::Compose => Ok(Self::Compose(super::compose::Engine::find(progress, mode).await?)),
            #[cfg(not(feature = "compose"))]
            TestbedName::Compose => Err(TestbedError::Unusable(
                "this geodrill was built without the testbed compose: build it with `--features compose`".to_owned(),
            )),
        }
    }

    /// Brings it up and waits until it is ready. Whatever was started is ended again if that fails, or if this is dropped.
    ///
    /// # Errors
    /// [`TestbedError::Unusable`] for what a user can do something about, else [`TestbedError::Failed`] with the last lines
    /// of the log concerned.
    pub async fn up(self, spec: Spec) -> Result<Arc<dyn Testbed>, TestbedError> {
        match self {
            Self::Native(programs) => Ok(Arc::new(Native::up(spec, programs).await?)),
            #[cfg(feature = "compose")]
            Self::Compose(engine) => Ok(Arc::new(super::compose::Compose::up(spec, engine).await?)),
        }
    }
}
