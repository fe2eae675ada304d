//! Exit codes, all in one place.

use std::process::ExitCode;

use crate::{conduct::DrillError, lab::FindError, model::verdict::Verdict, testbed::TestbedError};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Held.
    Held,
    /// Violated.
    Violated,
    /// Inconclusive.
    Inconclusive,
    /// Nothing was selected to run.
    NothingSelected,
    /// Something of ours could not be ended; the verdict was printed all the same.
    CleanUpIncomplete,
    /// Invalid input, or something the user can mend.
    Invalid,
    /// A defect of geodrill, or a failure that is nobody's input.
    Internal,
    /// Interrupted.
    Interrupted,
}

impl Exit {
    /// Its number.
    pub fn code(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Violated => 1,
            Self::Inconclusive => 2,
            Self::NothingSelected => 4,
            Self::CleanUpIncomplete => 5,
            Self::Invalid => 64,
            Self::Internal => 70,
            Self::Interrupted => 130,
        }
    }

    /// Which one is told where several apply: 130, 70, 64, 5, 4, 1, 2, 0.
    fn rank(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Inconclusive => 1,
            Self::Violated => 2,
            Self::NothingSelected => 3,
            Self::CleanUpIncomplete => 4,
            Self::Invalid => 5,
            Self::Internal => 6,
            Self::Interrupted => 7,
        }
    }

    /// The one to be told of the two.
    pub fn and(self, other: Exit) -> Exit {
        if other.rank() > self.rank() { other } else { self }
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Held | Verdict::Reported => Self::Held,
            Verdict::Inconclusive => Self::Inconclusive,
            Verdict::Violated => Self::Violated,
        }
    }
}

impl From<&DrillError> for Exit {
    fn from(error: &DrillError) -> Self {
        match error {
            DrillError::Invalid(_) | DrillError::Unusable(_) => Self::Invalid,
            DrillError::Interrupted => Self::Interrupted,
            DrillError::Failed(_) => Self::Internal,
        }
    }
}

impl From<&TestbedError> for Exit {
    fn from(error: &TestbedError) -> Self {
        match error {
            TestbedError::Unusable(_) => Self::Invalid,
            TestbedError::Failed(_) | TestbedError::Disturbed(_) => Self::Internal,
        }
    }
}

impl From<&FindError> for Exit {
    fn from(error: &FindError) -> Self {
        match error {
            FindError::None => Self::NothingSelected,
            FindError::Unknown { .. } | FindError::Several(_) | FindError::Gone(_) => Self::Invalid,
            FindError::Io(_) => Self::Internal,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn the_worst_of_several_is_told() {
        let order = [
            Exit::Interrupted,
            Exit::Internal,
            Exit::CleanUpIncomplete,
            Exit::Violated,
            Exit::Inconclusive,
            Exit::Held,
        ];
        for (place, worse) in order.iter().enumerate() {
            for better in &order[place..] {
                assert_eq!((worse.and(*better), better.and(*worse)), (*worse, *worse));
            }
        }
    }
}
