//! The rows on update packages: extracting cabinets, applying deltas, installing.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::measure::{Measured, median, run, run_printing, seconds};
use super::rows::{Row, SHORT_PAIRS, SMALL, example, largest, seconds_text};
use super::{Bench, RUNS, size};

/// Real cabinets with LZX: an old one of Visual C++, and a feature on demand.
const CABINETS: [&str; 2] = ["VC90_VC_RED.cab", "OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab"];
/// Real packages that carry deltas.
const DELTAS: [&str; 10] = [
    "Windows6.1-KB2465285-x64.msu",
    "Windows6.1-KB2584475-x86.msu",
    "Windows6.1-KB2780124-x64.msu",
    "Windows6.1-KB3040017-x86.msu",
    "Windows8.1-KB2937592-x86.msu",
    "Windows6.1-KB2883457-amd64.cab",
    "KB2999226/Windows6.0-x86/Windows6.0-KB2999226-x86.cab",
    "KB2999226/Windows6.1-x64/Windows6.1-KB2999226-x64.cab",
    "KB2999226/Windows8-RT-x86/Windows8-RT-KB2999226-x86.cab",
    "KB2999226/Windows8.1-x64/Windows8.1-KB2999226-x64.cab",
];
/// Real packages that can be installed, with architecture and version of the Windows that they are for.
const PACKAGES: [(&str, &str, &str); 11] = [
    ("OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab", "amd64", "10.0.20348.1"),
    ("OpenSSH-19041/OpenSSH-Client-Package~31bf3856ad364e35~amd64~~.cab", "amd64", "10.0.19041.1"),
    ("OpenSSH-19041/OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab", "amd64", "10.0.19041.1"),
    ("microsoft-windows-internetexplorer-optional-package~31bf3856ad364e35~amd64~~.cab", "amd64", "10.0.19041.1"),
    ("KB2999226/Windows6.1-x64/Windows6.1-KB2999226-x64.cab", "amd64", "6.1.7601.17514"),
    ("KB2999226/Windows8.1-x64/Windows8.1-KB2999226-x64.cab", "amd64", "6.3.9600.16384"),
    ("Windows8.1-KB2937592-x86.msu", "x86", "6.3.9600.16384"),
    ("Windows6.1-KB2465285-x64.msu", "amd64", "6.1.7601.17514"),
    ("Windows6.1-KB2584475-x86.msu", "x86", "6.1.7601.17514"),
    ("Windows6.1-KB2780124-x64.msu", "amd64", "6.1.7601.17514"),
    ("Windows6.1-KB3040017-x86.msu", "x86", "6.1.7601.17514"),
];
/// Components of the package, for the growth of installing.
const COMPONENTS: [usize; 4] = [1, 10, 100, 1_000];
/// Components of the store, for the same.
const STORES: [usize; 2] = [0, 30_000];

impl Bench {
    /// Cabinets to folders, whole programs: two real ones, and the bench's change as MSZIP.
    pub(super) fn cabinets(&self) -> Result<Vec<Row>> {
        let ours = example("wimwright-format", "extract_cabinet")?;
        let cabinets = CABINETS.iter().filter_map(|name| test_data(name)).chain([self.mszip()?]);
        cabinets.map(|cabinet| self.cabinet(&ours, &cabinet)).collect()
    }

    fn cabinet(&self, ours: &Path, cabinet: &Path) -> Result<Row> {
        let folder = |name: &str| -> Result<PathBuf> {
            self.remove(name)?;
            let path = self.work.join(name);
            std::fs::create_dir(&path)?;
            Ok(path)
        };
        let mut output = std::ffi::OsString::from("-o");
        output.push(self.work.join("7z"));
        let (mut own, mut cabextract, mut seven_zip) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..SHORT_PAIRS {
            own.push(seconds(ours, [cabinet.as_os_str(), folder("ours")?.as_os_str()])?);
            let arguments = ["-q".as_ref(), "-d".as_ref(), &*folder("cabextract")?.into_os_string(), cabinet.as_os_str()];
            cabextract.push(seconds("cabextract", arguments)?);
            folder("7z")?;
            seven_zip.push(seconds("7z", ["x".as_ref(), "-y".as_ref(), output.as_os_str(), cabinet.as_os_str()])?);
        }
        for peer in ["cabextract", "7z"] {
            run(&self.work, "diff", ["-r".as_ref(), self.work.join("ours").as_os_str(), self.work.join(peer).as_os_str()])?;
        }
        let ratio = |peer: &[f64]| median(own.iter().zip(peer).map(|(ours, peer)| peer / ours));
        let result = format!("{:.1} and {:.1} times as fast", ratio(&cabextract), ratio(&seven_zip));
        let name = file_name(cabinet);
        Ok(Row {
            what: format!("extract {name}, {:.1} MB (`cabextract`, `7z x`)", size(cabinet)? as f64 / 1e6),
            ours: milliseconds(&own),
            peer: format!("{}, {}", milliseconds(&cabextract), milliseconds(&seven_zip)),
            result,
            target: "1 time",
        })
    }

    /// The bench's change as a cabinet with MSZIP, in one folder.
    fn mszip(&self) -> Result<PathBuf> {
        let path = self.work.join("change.cab");
        self.remove("change.cab")?;
        let mut files = Vec::new();
        for entry in std::fs::read_dir(self.media.join("change/files/ProgramData/Tools"))? {
            files.push(entry?.path());
        }
        files.sort();
        let arguments = ["--create", "--zip", "--nopath"].map(OsStr::new).into_iter().chain([path.as_os_str()]);
        run(&self.work, "gcab", arguments.chain(files.iter().map(|file| file.as_os_str())))?;
        Ok(path)
    }

    /// The deltas of ten packages: the decoders alone, one thread, in programs that read and compare alike. What the peer
    /// does not decode is left out on both sides.
    pub(super) fn deltas(&self) -> Result<Vec<Row>> {
        let Some(packages) = DELTAS.iter().map(|name| test_data(name)).collect::<Option<Vec<_>>>() else { return Ok(Vec::new()) };
        let (pairs, ours, peer) =
            (example("wimwright-format", "delta_pairs")?, example("wimwright-codec", "apply_deltas")?, peer_deltas()?);
        self.remove("deltas")?;
        let folder = self.work.join("deltas");
        std::fs::create_dir(&folder)?;
        run(&self.work, pairs, [&folder].into_iter().chain(&packages))?;
        let (_, kept) = run_printing(&self.work, &peer, [folder.as_os_str(), "forget".as_ref()])?;
        let [count, bytes, forgotten] = kept[..] else { bail!("peer_deltas gave {kept:?}") };
        let once = |program: &Path| -> Result<f64> {
            let (_, printed) = run_printing(&self.work, program, [&folder])?;
            printed.first().copied().with_context(|| program.display().to_string())
        };
        let mut figures = Vec::new();
        for _ in 0..SHORT_PAIRS {
            figures.push((once(&ours)?, once(&peer)?));
        }
        let ratio = median(figures.iter().map(|(ours, peer)| peer / ours));
        let speed = |seconds: f64| format!("{:.1} ms, {:.0} MB/s", seconds * 1e3, bytes / seconds / 1e6);
        Ok(vec![Row {
            what: format!("{count} deltas of ten packages, {:.0} MB of targets (jlevere/msdelta)", bytes / 1e6),
            ours: speed(median(figures.iter().map(|(ours, _)| *ours))),
            peer: speed(median(figures.iter().map(|(_, peer)| *peer))),
            result: format!("{ratio:.2} times as fast; {forgotten} more that the peer does not decode"),
            target: "faster",
        }])
    }

    /// Real packages into practice stores; growth with the package, the store and the medium.
    pub(super) fn installing(&self) -> Result<Vec<Row>> {
        let mut rows = self.real_packages()?;
        let growth = example("wimwright-servicing", "install_growth")?;
        for store in STORES {
            rows.push(self.install(&growth, &format!("into a store of {store} components"), store.to_string().as_ref())?);
        }
        for bytes in [SMALL, largest()?] {
            let medium = self.practice(bytes)?;
            rows.push(self.install(&growth, &format!("into the first image of a {} MB medium", bytes / 1_000_000), medium.as_os_str())?);
        }
        Ok(rows)
    }

    fn install(&self, program: &Path, into: &str, place: &OsStr) -> Result<Row> {
        let (mut applying, mut memory, mut opening) = (Vec::new(), Vec::new(), Vec::new());
        for components in COMPONENTS {
            let runs = self.printed_runs(program, &[components.to_string().as_ref(), place], 2)?;
            opening.extend(runs.iter().map(|(_, printed)| printed[0]));
            applying.push(seconds_text(median(runs.iter().map(|(_, printed)| printed[1]))));
            memory.push((runs.iter().map(|(run, _)| run.memory).max().unwrap_or_default() / 1_000_000).to_string());
        }
        Ok(Row {
            what: format!("install {} components {into}", COMPONENTS.map(|components| components.to_string()).join(", ")),
            ours: applying.join(", "),
            peer: "–".to_owned(),
            result: format!("after {} to open the image; {} MB of memory", seconds_text(median(opening)), memory.join(", ")),
            target: "bounded by the package",
        })
    }

    fn real_packages(&self) -> Result<Vec<Row>> {
        let Some(dictionary) = wimwright_testkit::test_data("manifests/msdelta/base_manifest.bin") else { return Ok(Vec::new()) };
        let program = example("wimwright-servicing", "install_package")?;
        let mut rows = Vec::new();
        for (name, architecture, version) in PACKAGES {
            let Some(package) = test_data(name) else { continue };
            let runs =
                self.printed_runs(&program, &[dictionary.as_os_str(), architecture.as_ref(), version.as_ref(), package.as_os_str()], 3)?;
            let Some((_, printed)) = runs.first() else { continue };
            let result = format!("{} components, {} files", printed[1], printed[2]);
            rows.push(Row {
                what: format!("install {}, {:.1} MB", file_name(&package), size(&package)? as f64 / 1e6),
                ours: seconds_text(median(runs.iter().map(|(_, printed)| printed[0]))),
                peer: "–".to_owned(),
                result,
                target: "–",
            });
        }
        Ok(rows)
    }

    /// Several runs of a program that prints so many figures.
    fn printed_runs(&self, program: &Path, arguments: &[&OsStr], figures: usize) -> Result<Vec<(Measured, Vec<f64>)>> {
        let once = |_| {
            let run = run_printing(&self.work, program, arguments)?;
            ensure!(run.1.len() == figures, "{} gave {:?}", program.display(), run.1);
            Ok(run)
        };
        (0..RUNS).map(once).collect()
    }
}

/// The peer's decoder as a program: a package of its own, which no part of the product depends on.
fn peer_deltas() -> Result<PathBuf> {
    let (manifest, target) = (crate::root().join("xtask/src/bench/peer_deltas/Cargo.toml"), crate::root().join("target/bench/peer_deltas"));
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--release", "--locked", "--manifest-path"]).arg(manifest).arg("--target-dir").arg(&target);
    let status = command.status()?;
    ensure!(status.success(), "building peer_deltas: {status}");
    Ok(target.join("release/peer_deltas"))
}

/// A real package; `None`, said loudly, without test data.
fn test_data(name: &str) -> Option<PathBuf> {
    wimwright_testkit::test_data(&format!("msu_cab/{name}"))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn milliseconds(seconds: &[f64]) -> String {
    format!("{:.1} ms", median(seconds.iter().copied()) * 1e3)
}
