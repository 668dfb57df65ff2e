//! Writes a practice medium: `practice_medium FILE [BYTES]`. The benches scale it to gigabytes.

use std::error::Error;
use std::fs::File;

use wimwright_practice::{Options, write_medium};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: practice_medium FILE [BYTES]")?;
    let size = arguments.next().map(|size| size.parse()).transpose()?;
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    write_medium(&Options { size, ..Options::default() }, &file)?;
    Ok(())
}
