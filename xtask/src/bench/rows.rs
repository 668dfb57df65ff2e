//! The rows of the table beside the whole job.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::measure::{Measured, median, run};
use super::{Bench, Pair, RUNS, size};

/// Sizes of the practice media between which growth is shown, bytes.
const SMALL: u64 = 200_000_000;
const LARGE: u64 = 5_000_000_000;
/// LZX level of both contenders when recompressing: libwim's default.
const LEVEL: u32 = 50;

/// A row of the table.
struct Row {
    what: String,
    ours: String,
    peer: String,
    result: String,
    target: &'static str,
}

impl Bench {
    /// All rows, as a Markdown table.
    pub(super) fn table(&self, pairs: &[Pair], ratio: f64) -> Result<String> {
        let wall = |measured: fn(&Pair) -> &Measured| seconds(median(pairs.iter().map(|pair| measured(pair).wall)));
        let mut rows = vec![Row {
            what: "whole job, 190 MB medium (`peer-service.sh`)".to_owned(),
            ours: wall(|pair| &pair.ours),
            peer: wall(|pair| &pair.peer),
            result: format!("{ratio:.2} times as fast"),
            target: "3 times",
        }];
        rows.push(self.second_build(pairs)?);
        rows.push(self.registry()?);
        rows.extend(self.exports()?);
        rows.extend(self.growth()?);
        let mut table = "| What | Wimwright | Peer | Result | Target |\n|---|---|---|---|---|\n".to_owned();
        for Row { what, ours, peer, result, target } in rows {
            table += &format!("| {what} | {ours} | {peer} | {result} | {target} |\n");
        }
        Ok(table)
    }

    /// The same build again, everything there.
    fn second_build(&self, pairs: &[Pair]) -> Result<Row> {
        self.remove("ours.iso")?;
        self.build("whole.yaml")?;
        let recipe = self.work.join("whole.yaml");
        let again = self.wall(|| self.ours("library", &["build", recipe.to_str().context("path")?]))?;
        let first = median(pairs.iter().map(|pair| pair.ours.wall));
        let result = format!("{:.1} % of the first", again / first * 100.0);
        Ok(Row {
            what: "second run of that build".to_owned(),
            ours: seconds(again),
            peer: format!("{} (first)", seconds(first)),
            result,
            target: "5 %",
        })
    }

    /// 2,000 values into the SOFTWARE hive. Ours is the registry step's time in a build's report: it includes reading the hive
    /// out of the image and writing the result to the cache.
    fn registry(&self) -> Result<Row> {
        let ours = median((0..RUNS).map(|_| self.registry_step()).collect::<Result<Vec<_>>>()?);

        let hive = self.work.join("SOFTWARE");
        let cat = Command::new(&self.wimwright)
            .arg("cat")
            .arg(format!("{}:1/windows/system32/config/SOFTWARE", self.media.join("install.wim").display()))
            .output()?;
        ensure!(cat.status.success(), "wimwright cat: {}", String::from_utf8_lossy(&cat.stderr));
        let merge = || {
            std::fs::write(&hive, &cat.stdout)?;
            let tweaks = self.media.join("change/tweaks.reg");
            let arguments =
                ["--merge".as_ref(), "--prefix".as_ref(), r"HKEY_LOCAL_MACHINE\SOFTWARE".as_ref(), hive.as_os_str(), tweaks.as_os_str()];
            run(&self.work, "hivexregedit", arguments)
        };
        let peer = self.wall(merge)?;
        let what = format!(
            "2,000 values into a hive of {} MB (hivexregedit on a bare hive; ours is the whole step: hive out of the WIM, merge, compressed into the cache)",
            cat.stdout.len() / 1_000_000
        );
        Ok(Row { what, ours: seconds(ours), peer: seconds(peer), result: faster(peer, ours), target: "10 times" })
    }

    /// A new build; seconds of its registry step.
    fn registry_step(&self) -> Result<f64> {
        self.remove("ours.iso")?;
        self.build("whole.yaml")?;
        let report: Value = serde_json::from_slice(&std::fs::read(self.work.join("ours.iso.report.json"))?)?;
        let mut steps = report["images"].as_array().into_iter().flatten().flat_map(|image| image["steps"].as_array().into_iter().flatten());
        let step = steps
            .find(|step| step["kind"].as_str().is_some_and(|kind| kind.starts_with("registry")))
            .context("the report has no registry step")?;
        step["duration_seconds"].as_f64().context("the registry step has no duration")
    }

    fn exports(&self) -> Result<Vec<Row>> {
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
            ours: seconds(ours_wall),
            peer: seconds(peer_wall),
            result: format!("{}, size {:+.2} %", faster(peer_wall, ours_wall), (sizes - 1.0) * 100.0),
            target: "1 time, same size",
        };

        self.recipe("export.yaml", &wim, false, "wim: ./ours.wim")?;
        let ours_wall = self.wall(ours("export.yaml"))?;
        let peer_wall = self.wall(|| {
            fresh_peer()?;
            let script = r#"cp --reflink=never "$1" "$2" && sync "$2""#;
            run(&self.work, "sh", ["-c".as_ref(), script.as_ref(), "sh".as_ref(), wim.as_os_str(), peer_path.as_os_str()])
        })?;
        let copied = Row {
            what: "export, not recompressed (`cp` and `sync`; ours also hashes)".to_owned(),
            ours: seconds(ours_wall),
            peer: seconds(peer_wall),
            result: faster(peer_wall, ours_wall),
            target: "1 time",
        };
        Ok(vec![recompressed, copied])
    }

    /// How import and inspection grow with the medium, and the memory that a build of the large one takes.
    fn growth(&self) -> Result<Vec<Row>> {
        let large = std::env::var("BENCH_LARGE").map_or(Ok(LARGE), |bytes| bytes.parse()).context("BENCH_LARGE")?;
        let (small_iso, large_iso) = (self.practice(SMALL)?, self.practice(large)?);
        let label = format!("{} MB to {} MB", SMALL / 1_000_000, large / 1_000_000);
        let text = |path: &Path| path.to_str().map(str::to_owned).context("path");
        let import = |path: &Path| {
            let path = text(path)?;
            self.wall(|| {
                self.remove("import")?;
                self.ours("import", &["import", "--in-place", &path])
            })
        };
        let inspect = |path: &Path| {
            let path = text(path)?;
            self.wall(|| self.ours("import", &["inspect", &path]))
        };
        let grown = |what: &str, small: f64, large: f64| Row {
            what: format!("{what}, {label}"),
            ours: format!("{} to {}", seconds(small), seconds(large)),
            peer: "–".to_owned(),
            result: format!(
                "{:.1} times for {:.0} times the bytes",
                large / small,
                size(&large_iso).unwrap_or(0) as f64 / size(&small_iso).unwrap_or(1) as f64
            ),
            target: "bounded by metadata",
        };
        let mut rows = vec![
            grown("import in place", import(&small_iso)?, import(&large_iso)?),
            grown("inspect", inspect(&small_iso)?, inspect(&large_iso)?),
        ];
        self.recipe("large.yaml", &large_iso, true, "iso: ./large.iso")?;
        self.remove("large.iso")?;
        let built = self.build("large.yaml")?;
        self.remove("large.iso")?;
        rows.push(Row {
            what: format!("build of the {} MB medium, all images: peak memory", large / 1_000_000),
            ours: format!("{} MB, {}", built.memory / 1_000_000, seconds(built.wall)),
            peer: "–".to_owned(),
            result: String::new(),
            target: "500 MB",
        });
        Ok(rows)
    }

    /// A practice medium of a size; made once.
    fn practice(&self, bytes: u64) -> Result<PathBuf> {
        let path = crate::root().join(format!("target/bench/practice-{bytes}.iso"));
        if !path.exists() {
            let partial = path.with_extension("partial");
            let status = Command::new(env!("CARGO"))
                .args(["run", "--quiet", "--release", "--package", "wimwright-practice", "--example", "practice_medium", "--"])
                .arg(&partial)
                .arg(bytes.to_string())
                .current_dir(crate::root())
                .status()?;
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

fn seconds(figure: f64) -> String {
    format!("{figure:.2} s")
}

fn faster(peer: f64, ours: f64) -> String {
    format!("{:.2} times as fast", peer / ours)
}
