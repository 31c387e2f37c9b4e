//! The first and the latest of many.

use std::collections::BTreeMap;

/// The first and the latest of many, in whatever order and however often they come: what a thread
/// that is longer than anybody reads is told by.
#[derive(Clone, Debug)]
pub struct Ends<K, V> {
    limit: usize,
    kept: BTreeMap<K, V>,
}

impl<K: Clone + Ord, V> Ends<K, V> {
    /// Keeps at most `limit`.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: BTreeMap::new(),
        }
    }

    /// Takes one more.
    pub fn push(&mut self, key: K, value: V) {
        self.kept.insert(key, value);
        if self.kept.len() <= self.limit {
            return;
        }
        // All but the first and the latest, or but the first alone, or none.
        let surplus = self.kept.keys().nth(self.limit.min(1)).cloned();
        if let Some(surplus) = surplus {
            self.kept.remove(&surplus);
        }
    }

    /// Returns what is kept, in order.
    pub fn into_values(self) -> impl Iterator<Item = V> {
        self.kept.into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_latest_are_kept_in_order() {
        for (limit, expected) in [
            (0, ""),
            (1, "0"),
            (2, "09"),
            (4, "0789"),
            (20, "0123456789"),
        ] {
            let mut ends = Ends::new(limit);
            for number in [5, 0, 3, 9, 0, 1, 8, 2, 7, 4, 6, 5, 9] {
                ends.push(number, number.to_string());
            }
            assert_eq!(ends.into_values().collect::<String>(), expected, "{limit}");
        }
    }
}
