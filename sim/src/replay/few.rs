//! What is under way, by name. In a replay nothing overlaps, so there is hardly ever more than one of a kind.

/// Values by name, looked through one by one. Room is kept, so that one that comes and goes costs no
/// allocation.
pub(super) struct Few<K, V>(Vec<(K, V)>);

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq, V> Few<K, V> {
    /// Enters a value under a name that is new.
    pub(super) fn insert(&mut self, name: K, value: V) {
        debug_assert!(self.get_mut(&name).is_none(), "engines mint each name once");
        self.0.push((name, value));
    }

    pub(super) fn get_mut(&mut self, name: &K) -> Option<&mut V> {
        self.0.iter_mut().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(super) fn get(&self, name: &K) -> Option<&V> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, name: &K) -> Option<V> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(place).1)
    }
}
