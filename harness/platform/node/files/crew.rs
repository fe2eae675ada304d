//! Work on many versions side by side, so many at a time.

use tokio::task::JoinSet;

use crate::platform::node::store::StoreError;

/// Versions under way at a time.
const SIDE_BY_SIDE_MAX: usize = 12;

/// Who does it.
pub(super) struct Crew<T> {
    under_way: JoinSet<Result<T, StoreError>>,
}

impl<T: Send + 'static> Crew<T> {
    pub(super) fn new() -> Self {
        Self { under_way: JoinSet::new() }
    }

    /// Begins one more, once there is room for it; what was waited for comes back.
    ///
    /// # Errors
    /// Of what was waited for.
    pub(super) async fn begin(
        &mut self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let done = if self.under_way.len() >= SIDE_BY_SIDE_MAX { self.next().await? } else { None };
        self.under_way.spawn(work);
        Ok(done)
    }

    /// Waits for one; `None`: nothing is under way.
    ///
    /// # Errors
    /// Its own.
    pub(super) async fn next(&mut self) -> Result<Option<T>, StoreError> {
        match self.under_way.join_next().await {
            None => Ok(None),
            Some(Ok(done)) => done.map(Some),
            Some(Err(error)) => Err(StoreError::Order(format!("work on a version ended early: {error}"))),
        }
    }
}
