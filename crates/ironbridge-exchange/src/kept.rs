//! A place for what somebody downstream makes of a fact, so that it is made once and not for each request.

use std::{any::Any, sync::OnceLock};

/// Holds at most one value, of a type that only whoever put it there knows. The first one stays.
#[derive(Debug, Default)]
pub struct Kept(OnceLock<Box<dyn Any + Send + Sync>>);

impl Kept {
    /// The value, if one of this type is kept.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.get()?.downcast_ref()
    }

    /// Keeps `value`, unless there is one already.
    pub fn keep<T: Any + Send + Sync>(&self, value: T) {
        let _ = self.0.set(Box::new(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_stays_and_only_its_type_finds_it() {
        let kept = Kept::default();
        assert_eq!(kept.get::<u32>(), None);
        kept.keep(1u32);
        kept.keep(2u32);
        assert_eq!(kept.get::<u32>(), Some(&1));
        assert_eq!(kept.get::<u64>(), None);
    }
}
