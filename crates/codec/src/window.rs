//! The sliding window of the cabinet codecs: a ring in which every frame lies in one piece.

/// Output of one frame, which is one data block of a cabinet, in bytes. Only the last frame of a folder may be shorter
/// ([MS-CAB] 2.4).
pub(crate) const FRAME: usize = 0x8000;

/// A match that refers to bytes that were never written, or reaches past the end of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutsideWindow;

/// Bytes already decoded, as far back as a match can refer to.
pub(crate) struct Window {
    /// A multiple of [`FRAME`], so a frame never wraps.
    ring: Vec<u8>,
    /// Bytes of `ring` that have been written at least once.
    written: usize,
    /// Start of the frame being decoded.
    frame: usize,
    /// Next byte to write.
    position: usize,
    /// End of the frame being decoded.
    end: usize,
    /// A frame shorter than [`FRAME`] was seen: the stream has ended.
    finished: bool,
}

impl Window {
    /// A window of `1 << bits` bytes, at least one frame.
    pub(crate) fn new(bits: u8) -> Self {
        let size = (1_usize << bits).max(FRAME);
        Self { ring: vec![0; size], written: 0, frame: 0, position: 0, end: 0, finished: false }
    }

    /// Begins a frame of `length` bytes; false when none may follow or it is too long.
    pub(crate) fn start_frame(&mut self, length: usize) -> bool {
        if self.finished || length > FRAME {
            return false;
        }
        self.finished = length < FRAME;
        self.frame = if self.position == self.ring.len() { 0 } else { self.position };
        self.position = self.frame;
        self.end = self.frame + length;
        true
    }

    /// Bytes of the frame that are still to be decoded.
    pub(crate) fn left(&self) -> usize {
        self.end - self.position
    }

    /// The frame as far as it is decoded.
    pub(crate) fn frame(&self) -> &[u8] {
        &self.ring[self.frame..self.position]
    }

    fn advance(&mut self, length: usize) {
        self.position += length;
        self.written = self.written.max(self.position);
    }

    /// Writes one byte. The caller has seen that [`Self::left`] is not zero.
    #[inline]
    pub(crate) fn push(&mut self, byte: u8) {
        if let Some(place) = self.ring.get_mut(self.position) {
            *place = byte;
        }
        self.advance(1);
    }

    /// Writes `bytes`; the caller has seen that they fit.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.ring[self.position..self.position + bytes.len()].copy_from_slice(bytes);
        self.advance(bytes.len());
    }

    /// Repeats `length` bytes from `distance` bytes ago.
    #[inline]
    pub(crate) fn copy(&mut self, distance: usize, length: usize) -> Result<(), OutsideWindow> {
        if length > self.left() || distance == 0 {
            return Err(OutsideWindow);
        }
        if distance <= self.position {
            let source = self.position - distance;
            if length <= distance {
                self.ring.copy_within(source..source + length, self.position);
            } else {
                for offset in 0..length {
                    self.ring[self.position + offset] = self.ring[source + offset];
                }
            }
        } else {
            // What lies before the ring's start is its end, once it has been filled.
            let size = self.ring.len();
            if distance > size || self.written < size {
                return Err(OutsideWindow);
            }
            let source = self.position + size - distance;
            for offset in 0..length {
                self.ring[self.position + offset] = self.ring[(source + offset) % size];
            }
        }
        self.advance(length);
        Ok(())
    }
}
