//! Places for the connections of one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::caller;

/// Counts the connections of each address. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct AddressPlaces {
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    max: usize,
}

/// The right to one connection, until dropped.
#[derive(Debug)]
pub(crate) struct AddressPlace {
    of: Option<(AddressPlaces, IpAddr)>,
}

impl AddressPlaces {
    /// `max` is zero where there is no limit.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            taken: Arc::default(),
            max,
        }
    }

    /// A place for a connection from this address; `None` if it has all it may. `is_proxy` says whether the address stands for
    /// many callers; it has no limit then, as this machine has none.
    pub(crate) fn take(&self, from: IpAddr, is_proxy: bool) -> Option<AddressPlace> {
        let address = caller(from).filter(|_| self.max > 0 && !is_proxy);
        let Some(address) = address else {
            return Some(AddressPlace { of: None });
        };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(AddressPlace {
            of: Some((self.clone(), address)),
        })
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let Some((places, address)) = &self.of else {
            return;
        };
        let mut taken = places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_leaves_no_trace() {
        let places = AddressPlaces::new(2);
        let at = |text: &str| places.take(text.parse().unwrap(), false);
        let first = at("198.51.100.1").unwrap();
        let second = at("198.51.100.1").unwrap();
        assert!(at("198.51.100.1").is_none());
        assert!(at("::ffff:198.51.100.1").is_none(), "the same address");
        let other = at("198.51.100.2").unwrap();
        drop(first);
        let third = at("198.51.100.1").unwrap();
        drop((second, third, other));
        assert!(places.taken.lock().unwrap().is_empty());
        let own: Vec<_> = (0..9).map(|_| at("127.0.0.1").unwrap()).collect();
        assert_eq!(own.len(), 9, "this machine has no limit");
        let proxy = "198.51.100.9".parse().unwrap();
        let many: Vec<_> = (0..9).map(|_| places.take(proxy, true).unwrap()).collect();
        assert_eq!(many.len(), 9);
        assert!(AddressPlaces::new(0).take(proxy, false).is_some());
    }
}
