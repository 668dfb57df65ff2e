//! Marvin32, the keyed hash of registry log entries (published with .NET, whose string hash it is too).

/// The 64-bit hash of `data` under `seed`.
pub(super) fn marvin32(seed: u64, data: &[u8]) -> u64 {
    let mut state = State { low: (seed & 0xFFFF_FFFF) as u32, high: (seed >> 32) as u32 };
    let (blocks, tail) = data.as_chunks();
    for block in blocks {
        state.add(u32::from_le_bytes(*block));
    }
    // The bytes that are left, and a 0x80 behind them.
    let last = tail.iter().rev().fold(0x80_u32, |last, byte| last << 8 | u32::from(*byte));
    state.add(last);
    state.add(0);
    u64::from(state.high) << 32 | u64::from(state.low)
}

struct State {
    low: u32,
    high: u32,
}

impl State {
    fn add(&mut self, block: u32) {
        self.low = self.low.wrapping_add(block);
        self.high ^= self.low;
        self.low = self.low.rotate_left(20).wrapping_add(self.high);
        self.high = self.high.rotate_left(9) ^ self.low;
        self.low = self.low.rotate_left(27).wrapping_add(self.high);
        self.high = self.high.rotate_left(19);
    }
}
