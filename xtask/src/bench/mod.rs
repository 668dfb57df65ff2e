//! The benches: Wimwright against its peers, in the same run on the same files. `docs/reference/performance.md` tells what is compared.

mod measure;
mod packages;
mod rows;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use measure::Measured;

/// Paired runs of the whole job.
const PAIRS: usize = 5;
/// Runs of everything else; the median counts.
const RUNS: usize = 3;

/// Where everything is.
struct Bench {
    /// The program under test.
    wimwright: PathBuf,
    /// The scripts that all contenders share: `peer-service.sh`.
    scripts: PathBuf,
    /// What `make-media.sh` made: `media.iso`, `install.wim`, `change/`.
    media: PathBuf,
    /// Where the runs write.
    work: PathBuf,
}

/// Both contenders' measurements of the whole job, in pairs.
struct Pair {
    ours: Measured,
    peer: Measured,
}

/// Rows that can be had alone.
#[derive(Debug, Clone, Copy)]
pub enum Rows {
    /// A `.reg` file into a hive.
    Registry,
    /// Exports with and without recompression.
    Exports,
    /// Import, inspection and memory on media of three sizes.
    Growth,
    /// Extracting cabinets.
    Cabinets,
    /// Applying binary deltas.
    Deltas,
    /// Installing packages.
    Installing,
}

/// Runs every bench.
pub fn run() -> Result<()> {
    let bench = Bench::new()?;
    let (pairs, ratio) = bench.pairs()?;
    let mut rows = vec![bench.whole_job_row(&pairs, ratio), bench.second_build(&pairs)?, bench.registry()?];
    rows.extend(bench.exports()?);
    rows.extend(bench.growth()?);
    rows.extend(bench.cabinets()?);
    rows.extend(bench.deltas()?);
    rows.extend(bench.installing()?);
    bench.print(&rows);
    println!("peer/ours wall ratio: {ratio:.2}");
    Ok(())
}

/// Runs the whole job alone.
pub fn whole_job() -> Result<()> {
    let (_, ratio) = Bench::new()?.pairs()?;
    println!("peer/ours wall ratio: {ratio:.2}");
    Ok(())
}

/// Runs some rows alone.
pub fn some(rows: Rows) -> Result<()> {
    let bench = Bench::new()?;
    let rows = match rows {
        Rows::Registry => vec![bench.registry()?],
        Rows::Exports => bench.exports()?,
        Rows::Growth => bench.growth()?,
        Rows::Cabinets => bench.cabinets()?,
        Rows::Deltas => bench.deltas()?,
        Rows::Installing => bench.installing()?,
    };
    bench.print(&rows);
    Ok(())
}

impl Bench {
    fn new() -> Result<Self> {
        let path = |name: &str| std::env::var_os(name).map(PathBuf::from).with_context(|| format!("{name} is not set: run scripts/bench"));
        let work = crate::root().join("target/bench/work");
        std::fs::create_dir_all(&work)?;
        let bench = Self {
            wimwright: path("WIMWRIGHT")?.canonicalize()?,
            scripts: path("BENCH_SHARED")?,
            media: path("BENCH_MEDIA")?.canonicalize()?,
            work,
        };
        // So that the first run does not pay for reading from disk.
        for file in ["media.iso", "install.wim"] {
            std::io::copy(&mut std::fs::File::open(bench.media.join(file)).with_context(|| file.to_owned())?, &mut std::io::sink())?;
        }
        Ok(bench)
    }

    /// Runs `wimwright` with a library that `library` names.
    fn ours(&self, library: &str, arguments: &[&str]) -> Result<Measured> {
        let library = self.work.join(library);
        let arguments = [&["--quiet", "--library"], &[library.to_str().context("path")?][..], arguments].concat();
        measure::run(&self.work, &self.wimwright, arguments)
    }

    /// Builds a recipe with a library and outputs that are as good as new.
    fn build(&self, recipe: &str) -> Result<Measured> {
        self.remove("library")?;
        let path = self.work.join(recipe);
        self.ours("library", &["build", path.to_str().context("path")?])
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.work.join(name);
        if path.is_dir() {
            std::fs::remove_dir_all(path)?;
        } else if path.exists() {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }

    /// Writes a recipe that makes the bench's change of `medium`, or none.
    fn recipe(&self, name: &str, medium: &Path, change: bool, output: &str) -> Result<()> {
        let mut text = format!("recipe: 1\nmedia: '{}'\n", medium.display());
        if change {
            let change = self.media.join("change");
            let (files, registry) = (change.join("files/ProgramData"), change.join("tweaks.reg"));
            text += &format!(
                "images:\n  - files: [{{ add: '{}', to: /ProgramData }}]\n    registry: '{}'\n",
                files.display(),
                registry.display()
            );
        }
        text += &format!("output:\n  - {output}\n");
        Ok(std::fs::write(self.work.join(name), text)?)
    }

    /// The peers' whole pipeline and ours, alternating which one goes first.
    fn whole_job(&self) -> Result<Vec<Pair>> {
        self.recipe("whole.yaml", &self.media.join("media.iso"), true, "iso: ./ours.iso")?;
        let peer = || {
            self.remove("peer.iso")?;
            let arguments = [self.media.join("media.iso"), self.media.join("change"), self.work.join("peer.iso")];
            measure::run(&self.work, self.scripts.join("peer-service.sh"), arguments)
        };
        let ours = || {
            self.remove("ours.iso")?;
            self.build("whole.yaml")
        };
        let mut pairs = Vec::new();
        for number in 1..=PAIRS {
            let pair = if number % 2 == 1 {
                let peer = peer()?;
                Pair { ours: ours()?, peer }
            } else {
                let ours = ours()?;
                Pair { ours, peer: peer()? }
            };
            let Pair { ours, peer } = &pair;
            println!(
                "pair {number}: ours {:.2} s wall, {:.2} s CPU; peer {:.2} s wall, {:.2} s CPU; ratio {:.2}",
                ours.wall,
                ours.cpu,
                peer.wall,
                peer.cpu,
                peer.wall / ours.wall
            );
            pairs.push(pair);
        }
        Ok(pairs)
    }

    /// The whole job in pairs, and the median of their ratios.
    fn pairs(&self) -> Result<(Vec<Pair>, f64)> {
        let pairs = self.whole_job()?;
        let ratio = measure::median(pairs.iter().map(|pair| pair.peer.wall / pair.ours.wall));
        let (ours, peer) = (size(&self.work.join("ours.iso"))?, size(&self.work.join("peer.iso"))?);
        println!("output: ours {ours} bytes, peer {peer} bytes ({:+.2} %)", (ours as f64 / peer as f64 - 1.0) * 100.0);
        Ok((pairs, ratio))
    }

    /// Prints the machine and the table.
    fn print(&self, rows: &[rows::Row]) {
        println!("\n{}\n\n{}", self.machine(), rows::table(rows));
    }

    /// On what all this ran.
    fn machine(&self) -> String {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let first_line = |program: &str| {
            let output = Command::new(program).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
            String::from_utf8_lossy(&output).lines().next().unwrap_or("unknown").to_owned()
        };
        format!("{model}, {cores} cores; {}; {}", first_line(&self.wimwright.to_string_lossy()), first_line("wimlib-imagex"))
    }
}

/// Size of a file in bytes.
fn size(path: &Path) -> Result<u64> {
    let metadata = std::fs::metadata(path).with_context(|| path.display().to_string())?;
    ensure!(metadata.len() > 0, "{} is empty", path.display());
    Ok(metadata.len())
}
