//! The sliding window of the cabinet codecs: a ring in which every frame lies in one piece.

/// Output of one frame, which is one data block of a cabinet, in bytes. Only the last frame of a folder may be shorter
/// ([MS-CAB] 2.4).
pub(crate) const FRAME: usize = 0x8000;

/// Bytes that a copy moves at once.
const STRIDE: usize = 16;

/// A match that refers to bytes that were never written, or reaches past the end of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutsideWindow;

/// Bytes already decoded, as far back as a match can refer to.
pub(crate) struct Window {
    /// A multiple of [`FRAME`], so a frame never wraps; one frame more than matches can reach back, so that a copy may
    /// write a little past its end.
    ring: Vec<u8>,
    /// The largest distance of a match.
    reach: usize,
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
        let reach = 1_usize << bits;
        Self { ring: vec![0; reach.max(FRAME) + FRAME], reach, written: 0, frame: 0, position: 0, end: 0, finished: false }
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

    /// Takes note of `length` bytes that a [`Run`] has written.
    pub(crate) fn advance(&mut self, length: usize) {
        self.position += length;
        self.written = self.written.max(self.position);
    }

    /// The next `length` bytes, to be written; the caller has seen that they fit.
    pub(crate) fn run(&mut self, length: usize) -> Run<'_> {
        // Only the end of a frame can be the end of the ring, so this does not change while a frame is being written.
        let wrapped = self.written == self.ring.len();
        Run { reach: self.reach, wrapped, position: self.position, end: self.position + length, ring: &mut self.ring }
    }

    /// Writes one byte. The caller has seen that [`Self::left`] is not zero.
    #[inline]
    pub(crate) fn push(&mut self, byte: u8) {
        self.run(1).push(byte);
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
        self.run(self.left()).copy(distance, length)?;
        self.advance(length);
        Ok(())
    }
}

/// A part of a frame while it is written. It stands apart from its [`Window`] so that a loop keeps it in registers.
pub(crate) struct Run<'a> {
    ring: &'a mut [u8],
    reach: usize,
    /// The ring has been filled once: what lies before its start is its end.
    wrapped: bool,
    /// Next byte to write.
    position: usize,
    end: usize,
}

impl Run<'_> {
    /// Bytes that are still to be written.
    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.end - self.position
    }

    /// Writes one byte. The caller has seen that [`Self::left`] is not zero.
    #[inline]
    pub(crate) fn push(&mut self, byte: u8) {
        if let Some(place) = self.ring.get_mut(self.position) {
            *place = byte;
        }
        self.position += 1;
    }

    /// Repeats `length` bytes from `distance` bytes ago.
    #[inline]
    pub(crate) fn copy(&mut self, distance: usize, length: usize) -> Result<(), OutsideWindow> {
        if length > self.left() || distance == 0 || distance > self.reach {
            return Err(OutsideWindow);
        }
        let position = self.position;
        self.position += length;
        match position.checked_sub(distance) {
            Some(source) if distance >= STRIDE && self.position + STRIDE <= self.ring.len() => {
                for offset in (0..length).step_by(STRIDE) {
                    self.ring.copy_within(source + offset..source + offset + STRIDE, position + offset);
                }
            }
            Some(source) => repeat(self.ring, source, position, length),
            None if self.wrapped => repeat_wrapped(self.ring, position + self.ring.len() - distance, position, length),
            None => return Err(OutsideWindow),
        }
        Ok(())
    }
}

/// Copies byte by byte, so that bytes just written are repeated.
fn repeat(ring: &mut [u8], source: usize, position: usize, length: usize) {
    for offset in 0..length {
        ring[position + offset] = ring[source + offset];
    }
}

/// Copies from the end of the ring, and what is left from its start.
fn repeat_wrapped(ring: &mut [u8], source: usize, position: usize, length: usize) {
    let first = length.min(ring.len() - source);
    // What is read lies behind what is written.
    ring.copy_within(source..source + first, position);
    repeat(ring, 0, position + first, length - first);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies of every kind, against a plain history of all bytes.
    #[test]
    fn copies_are_those_of_an_endless_history() {
        let mut state = 3_u32;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        for bits in [10, 15, 16] {
            let (mut window, mut history) = (Window::new(bits), Vec::new());
            for _ in 0..7 {
                assert!(window.start_frame(FRAME));
                let start = history.len();
                while window.left() > 0 {
                    let near = random(2) == 0;
                    let distance = 1 + random(if near { 40 } else { 1 << bits });
                    let length = (1 + random(200)).min(window.left());
                    if distance > history.len() {
                        assert_eq!(window.copy(distance, length), Err(OutsideWindow));
                        let byte = random(256) as u8;
                        window.push(byte);
                        history.push(byte);
                    } else {
                        window.copy(distance, length).unwrap();
                        (0..length).for_each(|_| history.push(history[history.len() - distance]));
                    }
                }
                assert!(window.frame() == &history[start..]);
            }
            assert_eq!(window.copy(1, 1), Err(OutsideWindow), "past the end of the frame");
            assert!(window.start_frame(5));
            assert_eq!(window.copy(0, 1), Err(OutsideWindow));
            assert_eq!(window.copy((1 << bits) + 1, 1), Err(OutsideWindow));
            assert_eq!(window.copy(1, 6), Err(OutsideWindow));
            assert!(!window.start_frame(5), "nothing follows a short frame");
        }
    }
}
