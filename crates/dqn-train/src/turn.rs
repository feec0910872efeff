//! Whose turn it is to draw from the generator that a process has one of.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Held while the backend's generator must not be seeded by another run of the process.
///
/// Every update seeds it and dropout draws from it, so that an update with dropout has the process to itself, and others
/// keep out of its way.
#[expect(dead_code, reason = "a guard is held, not read")]
pub(crate) enum Turn {
    Alone(RwLockWriteGuard<'static, ()>),
    Shared(RwLockReadGuard<'static, ()>),
}

impl Turn {
    /// Waits for the turn of an update, which draws from the generator if it has dropout.
    pub(crate) fn take(draws: bool) -> Self {
        static GENERATOR: RwLock<()> = RwLock::new(());
        // A run that panicked has left nothing half done here.
        match draws {
            true => Turn::Alone(GENERATOR.write().unwrap_or_else(PoisonError::into_inner)),
            false => Turn::Shared(GENERATOR.read().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}
