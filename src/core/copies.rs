//! Where the uncompressed copies of answers lie (see [`super::hot`] for which there are).

/// Where an entry has its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    /// There is none.
    pub const NONE: Self = Self(u32::MAX);

    /// Whether there is one.
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }
}

/// The uncompressed copies that entries keep beside their answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hot {
    /// How many there are.
    pub entries: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// Copies by place.
#[derive(Clone, Debug, Default)]
pub(super) struct Copies {
    places: Vec<Option<Box<[u8]>>>,
    free: Vec<u32>,
    hot: Hot,
}

impl Copies {
    /// How many there are, and their bytes.
    pub fn sum(&self) -> Hot {
        self.hot
    }

    /// Puts a copy in.
    pub fn put(&mut self, copy: Box<[u8]>) -> Place {
        self.hot.entries += 1;
        self.hot.bytes += copy.len();
        let at = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(place) = self.places.get_mut(at as usize) {
            *place = Some(copy);
        }
        Place(at)
    }

    /// Takes a copy out, if there is one.
    pub fn take(&mut self, place: Place) {
        let Some(copy) = self.places.get_mut(place.0 as usize).and_then(Option::take) else { return };
        self.hot.entries -= 1;
        self.hot.bytes -= copy.len();
        self.free.push(place.0);
        if self.hot.entries == 0 {
            *self = Self::default();
        }
    }

    /// The copy in a place.
    pub fn get(&self, place: Place) -> Option<&[u8]> {
        self.places.get(place.0 as usize)?.as_deref()
    }

    /// Moves the copy in a place.
    pub fn relocate(&mut self, place: Place, mover: impl FnOnce(Box<[u8]>) -> Box<[u8]>) {
        if let Some(place) = self.places.get_mut(place.0 as usize) {
            *place = place.take().map(mover);
        }
    }
}
