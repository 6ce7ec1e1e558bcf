//! What is under way, each by its name: found in constant time, and without an allocation for each that comes
//! and goes, as a tree's node would be.
//!
//! A table's own order depends on how it has grown and must never show: [`Table::values`] is for counting,
//! and whoever acts on several entries takes their names from [`Table::names_of`], which sorts them.

use core::{
    fmt::Debug,
    ops::{Index, IndexMut},
};

use alloc::vec::Vec;
use hashbrown::{HashTable, hash_table::Entry};

/// What an entry is found by.
pub(crate) trait Name: Copy + Ord + Debug {
    /// `salt` is for names that somebody outside has a part in, and keeps them from choosing ones that
    /// collide.
    fn hash(self, salt: u128) -> u64;
}

/// Entries by name.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    entries: HashTable<(K, V)>,
    salt: u128,
}

/// One for names that only we or our driver mint.
impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self::salted(0)
    }
}

impl<K, V> Table<K, V> {
    pub(crate) const fn salted(salt: u128) -> Self {
        Self { entries: HashTable::new(), salt }
    }
}

impl<K: Name, V> Table<K, V> {
    /// Enters a value, and returns the one that had the name.
    pub(crate) fn insert(&mut self, name: K, value: V) -> Option<V> {
        let salt = self.salt;
        match self.entries.entry(name.hash(salt), |(other, _)| *other == name, |(other, _)| other.hash(salt))
        {
            Entry::Occupied(mut entry) => Some(core::mem::replace(&mut entry.get_mut().1, value)),
            Entry::Vacant(entry) => {
                entry.insert((name, value));
                None
            }
        }
    }

    /// Takes a value out.
    pub(crate) fn remove(&mut self, name: &K) -> Option<V> {
        let entry = self.entries.find_entry(name.hash(self.salt), |(other, _)| other == name).ok()?;
        let ((_, value), _) = entry.remove();
        Some(value)
    }

    /// Takes out a value that is there.
    pub(crate) fn take(&mut self, name: &K) -> V {
        self.remove(name).unwrap_or_else(|| panic!("{name:?} is not in the table"))
    }

    pub(crate) fn get_mut(&mut self, name: &K) -> Option<&mut V> {
        self.entries.find_mut(name.hash(self.salt), |(other, _)| other == name).map(|(_, value)| value)
    }

    pub(crate) fn get(&self, name: &K) -> Option<&V> {
        self.entries.find(name.hash(self.salt), |(other, _)| other == name).map(|(_, value)| value)
    }

    pub(crate) fn contains_key(&self, name: &K) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All values, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// All names, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = K> {
        self.entries.iter().map(|(name, _)| *name)
    }

    /// The names of those that `is_meant` accepts, in the order of the names.
    pub(crate) fn names_of(&self, is_meant: impl Fn(&V) -> bool) -> Vec<K> {
        let meant = self.entries.iter().filter(|(_, value)| is_meant(value));
        let mut names: Vec<_> = meant.map(|(name, _)| *name).collect();
        names.sort_unstable();
        names
    }
}

impl<K: Name, V> Index<&K> for Table<K, V> {
    type Output = V;

    fn index(&self, name: &K) -> &V {
        self.get(name).unwrap_or_else(|| panic!("{name:?} is not in the table"))
    }
}

impl<K: Name, V> IndexMut<&K> for Table<K, V> {
    fn index_mut(&mut self, name: &K) -> &mut V {
        self.get_mut(name).unwrap_or_else(|| panic!("{name:?} is not in the table"))
    }
}

/// The hash of a name that is one number: a multiplication by 2⁶⁴ over the golden ratio, both halves folded
/// together.
pub(crate) fn spread(number: u64) -> u64 {
    fold(number, 0x9e37_79b9_7f4a_7c15)
}

/// The halves of a product, folded together: all bits of both factors have a part in all bits of it.
pub(crate) fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are folded in")]
    let folded = (product >> 64) as u64 ^ product as u64;
    folded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::id::OpId;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// It answers as a tree does, whatever comes and goes.
        #[test]
        fn a_table_is_a_map(steps in proptest::collection::vec((0_u64..12, 0_u8..3, any::<u32>()), 0..200)) {
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            for (name, step, value) in steps {
                let name = OpId(name);
                match step {
                    0 => prop_assert_eq!(table.insert(name, value), model.insert(name, value)),
                    1 => prop_assert_eq!(table.remove(&name), model.remove(&name)),
                    _ => prop_assert_eq!(table.get_mut(&name), model.get_mut(&name)),
                }
                prop_assert_eq!(table.get(&name), model.get(&name));
                prop_assert_eq!((table.len(), table.is_empty()), (model.len(), model.is_empty()));
                let odd = |value: &u32| value % 2 == 1;
                let expected: Vec<_> = model.iter().filter(|(_, value)| odd(value)).map(|(name, _)| *name).collect();
                prop_assert_eq!(table.names_of(odd), expected);
                prop_assert!(table.values().all(|value| model.values().any(|other| other == value)));
                prop_assert_eq!(table.values().count(), model.len());
            }
        }
    }
}
