//! Places for connections, of which no site takes all.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// One place in so many is for those who hold fewer than are left.
const RESERVE: usize = 4;

/// How many connections there are, by site: an address, or what stands for a network of one holder.
pub(super) struct Places {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<IpAddr, usize>,
}

/// A connection's place, free again once this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    site: IpAddr,
}

impl Places {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// None where all are taken, or where few are left and this site has as many.
    pub(super) fn take(self: &Arc<Self>, site: IpAddr) -> Option<Place> {
        let mut taken = self.lock();
        let own = taken.by.get(&site).copied().unwrap_or(0);
        let few_are_left = taken.all >= self.most - self.most / RESERVE;
        if taken.all >= self.most || (few_are_left && own >= self.most - taken.all) {
            return None;
        }
        taken.all += 1;
        *taken.by.entry(site).or_default() += 1;
        Some(Place { places: self.clone(), site })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        if let Some(own) = taken.by.get_mut(&self.site) {
            *own -= 1;
            if *own == 0 {
                taken.by.remove(&self.site);
            }
        }
    }
}
