//! The rows of the table beside the whole job.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::measure::{Measured, median, run, seconds};
use super::{Bench, Pair, RUNS, size};

/// Sizes of the practice media on which growth is shown, bytes.
pub(super) const SMALL: u64 = 200_000_000;
const MIDDLE: u64 = 1_000_000_000;
const LARGEST: u64 = 5_000_000_000;
/// Paired runs of what takes milliseconds.
pub(super) const SHORT_PAIRS: usize = 15;
/// LZX level of both contenders when recompressing: libwim's default.
const LEVEL: u32 = 50;

/// A row of the table.
pub(super) struct Row {
    pub what: String,
    pub ours: String,
    pub peer: String,
    pub result: String,
    pub target: &'static str,
}

/// The rows as a Markdown table.
pub(super) fn table(rows: &[Row]) -> String {
    let mut table = "| What | Wimwright | Peer | Result | Target |\n|---|---|---|---|---|\n".to_owned();
    for Row { what, ours, peer, result, target } in rows {
        table += &format!("| {what} | {ours} | {peer} | {result} | {target} |\n");
    }
    table
}

impl Bench {
    /// The whole job.
    pub(super) fn whole_job_row(&self, pairs: &[Pair], ratio: f64) -> Row {
        let wall = |measured: fn(&Pair) -> &Measured| seconds_text(median(pairs.iter().map(|pair| measured(pair).wall)));
        Row {
            what: "whole job, 190 MB medium (`peer-service.sh`)".to_owned(),
            ours: wall(|pair| &pair.ours),
            peer: wall(|pair| &pair.peer),
            result: format!("{ratio:.2} times as fast"),
            target: "3 times",
        }
    }

    /// The same build again, everything there.
    pub(super) fn second_build(&self, pairs: &[Pair]) -> Result<Row> {
        self.remove("ours.iso")?;
        self.build("whole.yaml")?;
        let recipe = self.work.join("whole.yaml");
        let again = self.wall(|| self.ours("library", &["build", recipe.to_str().context("path")?]))?;
        let first = median(pairs.iter().map(|pair| pair.ours.wall));
        let result = format!("{:.1} % of the first", again / first * 100.0);
        Ok(Row {
            what: "second run of that build".to_owned(),
            ours: seconds_text(again),
            peer: format!("{} (first)", seconds_text(first)),
            result,
            target: "5 %",
        })
    }

    /// 2,000 values into the SOFTWARE hive: both programs read a hive file and a `.reg` file, and leave the merged hive in the
    /// file. In pairs, each with a fresh hive.
    pub(super) fn registry(&self) -> Result<Row> {
        let address = format!("{}:1/windows/system32/config/SOFTWARE", self.media.join("install.wim").display());
        let cat = Command::new(&self.wimwright).arg("cat").arg(address).output()?;
        ensure!(cat.status.success(), "wimwright cat: {}", String::from_utf8_lossy(&cat.stderr));
        let (hive, tweaks) = (self.work.join("SOFTWARE"), self.media.join("change/tweaks.reg"));
        let prefix = r"HKEY_LOCAL_MACHINE\SOFTWARE".as_ref();
        let ours = example("wimwright-format", "merge_registry")?;
        let mut pairs = Vec::new();
        for _ in 0..SHORT_PAIRS {
            std::fs::write(&hive, &cat.stdout)?;
            let ours = seconds(&ours, [hive.as_os_str(), prefix, tweaks.as_os_str()])?;
            std::fs::write(&hive, &cat.stdout)?;
            let arguments = ["--merge".as_ref(), "--prefix".as_ref(), prefix, hive.as_os_str(), tweaks.as_os_str()];
            pairs.push((ours, seconds("hivexregedit", arguments)?));
        }
        let ratio = median(pairs.iter().map(|(ours, peer)| peer / ours));
        let milliseconds = |figures: Vec<f64>| format!("{:.1} ms", median(figures) * 1000.0);
        Ok(Row {
            what: format!("2,000 values into a hive file of {} MB (`hivexregedit --merge`)", cat.stdout.len() / 1_000_000),
            ours: milliseconds(pairs.iter().map(|(ours, _)| *ours).collect()),
            peer: milliseconds(pairs.iter().map(|(_, peer)| *peer).collect()),
            result: format!("{ratio:.1} times as fast"),
            target: "10 times",
        })
    }

    pub(super) fn exports(&self) -> Result<Vec<Row>> {
        let wim = self.media.join("install.wim");
        let (ours_path, peer_path) = (self.work.join("ours.wim"), self.work.join("peer.wim"));
        let ours = |recipe: &'static str| {
            move || {
                self.remove("ours.wim")?;
                self.build(recipe)
            }
        };
        let fresh_peer = || self.remove("peer.wim");

        // Both must compress every byte: from another compression nothing can be copied raw, whatever a recipe's `level` means.
        let xpress = self.work.join("xpress.wim");
        self.remove("xpress.wim")?;
        let arguments =
            ["export".as_ref(), wim.as_os_str(), "all".as_ref(), xpress.as_os_str(), "--recompress".as_ref(), "--compress=XPRESS".as_ref()];
        run(&self.work, "wimlib-imagex", arguments)?;
        self.recipe("recompress.yaml", &xpress, false, &format!("{{ wim: ./ours.wim, compression: lzx, level: {LEVEL} }}"))?;
        let ours_wall = self.wall(ours("recompress.yaml"))?;
        let compress = format!("--compress=LZX:{LEVEL}");
        let peer_wall = self.wall(|| {
            fresh_peer()?;
            run(
                &self.work,
                "wimlib-imagex",
                ["export".as_ref(), xpress.as_os_str(), "all".as_ref(), peer_path.as_os_str(), "--recompress".as_ref(), compress.as_ref()],
            )
        })?;
        let sizes = size(&ours_path)? as f64 / size(&peer_path)? as f64;
        let recompressed = Row {
            what: format!("export, XPRESS to LZX level {LEVEL} (`wimlib-imagex export --recompress`)"),
            ours: seconds_text(ours_wall),
            peer: seconds_text(peer_wall),
            result: format!("{}, size {:+.2} %", faster(peer_wall, ours_wall), (sizes - 1.0) * 100.0),
            target: "1 time, same size",
        };

        self.recipe("export.yaml", &wim, false, "wim: ./ours.wim")?;
        let ours_wall = self.wall(ours("export.yaml"))?;
        let peer_wall = self.wall(|| {
            fresh_peer()?;
            copy_and_sync(&self.work, &wim, &peer_path)
        })?;
        let copied = Row {
            what: "export, not recompressed (`cp` and `sync`)".to_owned(),
            ours: seconds_text(ours_wall),
            peer: seconds_text(peer_wall),
            result: faster(peer_wall, ours_wall),
            target: "1 time",
        };
        Ok(vec![recompressed, copied])
    }

    /// How import and inspection grow with the medium, and the memory that a build of the largest one takes.
    pub(super) fn growth(&self) -> Result<Vec<Row>> {
        let largest = largest()?;
        let sizes = [SMALL, MIDDLE, largest];
        let media = sizes.map(|bytes| self.practice(bytes)).into_iter().collect::<Result<Vec<_>>>()?;
        let label = sizes.map(|bytes| format!("{} MB", bytes / 1_000_000)).join(", ");
        let each = |once: &dyn Fn(&str) -> Result<Measured>| {
            let figures = media.iter().map(|medium| {
                let medium = medium.to_str().context("path")?;
                let runs = (0..RUNS).map(|_| once(medium)).collect::<Result<Vec<_>>>()?;
                let memory = runs.iter().map(|run| run.memory).max().unwrap_or_default();
                Ok((median(runs.iter().map(|run| run.wall)), memory))
            });
            figures.collect::<Result<Vec<_>>>()
        };
        let copied = self.work.join("copied.iso");
        let copies = each(&|medium| {
            self.remove("copied.iso")?;
            copy_and_sync(&self.work, medium.as_ref(), &copied)
        })?;
        self.remove("copied.iso")?;
        let import = |options: &'static [&'static str]| {
            each(&|medium| {
                self.remove("import")?;
                self.ours("import", &[&["import"], options, &[medium]].concat())
            })
        };
        let (in_place, copied) = (import(&["--in-place"])?, import(&[])?);
        self.remove("import")?;
        let inspect = each(&|medium| self.ours("import", &["inspect", medium]))?;
        let walls = |figures: &[(f64, u64)]| figures.iter().map(|(wall, _)| seconds_text(*wall)).collect::<Vec<_>>().join(", ");
        let row = |what: &str, figures: &[(f64, u64)], peer: Option<&[(f64, u64)]>| Row {
            what: format!("{what}: {label}"),
            ours: walls(figures),
            peer: peer.map_or_else(|| "–".to_owned(), walls),
            result: figures.iter().map(|(_, memory)| format!("{} MB", memory / 1_000_000)).collect::<Vec<_>>().join(", ") + " of memory",
            target: if peer.is_some() { "bounded by copying" } else { "bounded by metadata" },
        };
        let mut rows = vec![
            row("import in place", &in_place, None),
            row("import (`cp` and `sync`)", &copied, Some(&copies)),
            row("inspect", &inspect, None),
        ];
        let Some(medium) = media.last() else { return Ok(rows) };
        self.recipe("large.yaml", medium, true, "iso: ./large.iso")?;
        self.remove("large.iso")?;
        let built = self.build("large.yaml")?;
        self.remove("large.iso")?;
        rows.push(Row {
            what: format!("build of the {} MB medium, all images: peak memory", largest / 1_000_000),
            ours: format!("{} MB, {}", built.memory / 1_000_000, seconds_text(built.wall)),
            peer: "–".to_owned(),
            result: String::new(),
            target: "500 MB",
        });
        Ok(rows)
    }

    /// A practice medium of a size; made once.
    pub(super) fn practice(&self, bytes: u64) -> Result<PathBuf> {
        let path = crate::root().join(format!("target/bench/practice-{bytes}.iso"));
        if !path.exists() {
            let partial = path.with_extension("partial");
            let program = example("wimwright-practice", "practice_medium")?;
            let status = Command::new(program).arg(&partial).arg(bytes.to_string()).status()?;
            ensure!(status.success(), "making a practice medium of {bytes} bytes: {status}");
            std::fs::rename(&partial, &path)?;
        }
        Ok(path)
    }

    /// Median wall time of several runs.
    fn wall(&self, mut once: impl FnMut() -> Result<Measured>) -> Result<f64> {
        Ok(median((0..RUNS).map(|_| once().map(|measured| measured.wall)).collect::<Result<Vec<_>>>()?))
    }
}

/// Bytes of the largest practice medium.
pub(super) fn largest() -> Result<u64> {
    std::env::var("BENCH_LARGE").map_or(Ok(LARGEST), |bytes| bytes.parse()).context("BENCH_LARGE")
}

/// Builds an example of a package; its program.
pub(super) fn example(package: &str, name: &str) -> Result<PathBuf> {
    let arguments = ["build", "--quiet", "--release", "--package", package, "--example", name, "--target-dir", "target"];
    let status = Command::new(env!("CARGO")).args(arguments).current_dir(crate::root()).status()?;
    ensure!(status.success(), "building {name}: {status}");
    Ok(crate::root().join("target/release/examples").join(name))
}

/// What copying takes at least: every byte copied, and on the disk.
fn copy_and_sync(folder: &Path, from: &Path, to: &Path) -> Result<Measured> {
    let script = r#"cp --reflink=never "$1" "$2" && sync "$2""#;
    run(folder, "sh", ["-c".as_ref(), script.as_ref(), "sh".as_ref(), from.as_os_str(), to.as_os_str()])
}

pub(super) fn seconds_text(figure: f64) -> String {
    format!("{figure:.2} s")
}

fn faster(peer: f64, ours: f64) -> String {
    format!("{:.2} times as fast", peer / ours)
}
