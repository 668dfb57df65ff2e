//! The main job, judged by other programs: a serviced ISO whose images wimlib verifies, whose hives regipy and hivex read,
//! whose untouched files are as they were, and which has the same bytes each time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wimwright_testkit::{oracles, python, python_oracles, run};

use crate::workshop::{Workshop, practice_medium};

/// Adds two files and some values to every image.
const RECIPE: &str = "\
recipe: 1
images:
  - select: all
    files:
      - add: ./tools
        to: /ProgramData/Contoso/Tools
    registry:
      - ./tweaks.reg
output: { iso: ./out.iso }
";

const TWEAKS: &str = "Windows Registry Editor Version 5.00\r\n\r\n\
[HKEY_LOCAL_MACHINE\\SOFTWARE\\Contoso\\Wimwright]\r\n\
@=\"the default\"\r\n\
\"Text\"=\"Grüße\"\r\n\
\"Number\"=dword:0000002a\r\n\
\"Bytes\"=hex:de,ad,be,ef\r\n\
\"Texts\"=hex(7):61,00,00,00,62,00,00,00,00,00\r\n";

/// Reads the values back with both libraries; `None` where a value is missing.
const READ_BACK: &str = r"
import sys, hivex
from regipy.registry import RegistryHive
hive = RegistryHive(sys.argv[1])
values = {value.name: value.value for value in hive.get_key('\\Contoso\\Wimwright').get_values()}
print('regipy', values['(default)'], values['Text'], values['Number'], values['Texts'], bytes(values['Bytes']).hex() if isinstance(values['Bytes'], bytes) else values['Bytes'])
hive = hivex.Hivex(sys.argv[1])
node = hive.root()
for name in ['Contoso', 'Wimwright']:
    node = hive.node_get_child(node, name)
value = lambda name: hive.node_get_value(node, name)
print('hivex', hive.value_string(value('')), hive.value_string(value('Text')), hive.value_dword(value('Number')), hive.value_multiple_strings(value('Texts'))[:2], hive.value_value(value('Bytes'))[1].hex())
";

/// A workshop with a recipe that fits any medium with a SOFTWARE hive.
fn workshop() -> Workshop {
    let workshop = Workshop::empty();
    workshop.write("recipe.yaml", RECIPE);
    workshop.write("tweaks.reg", TWEAKS);
    workshop.write("tools/a.txt", "the first file");
    workshop.write("tools/below/b.bin", vec![7; 100_000]);
    workshop
}

/// The practice medium, and a large one where `WIMWRIGHT_BENCH_MEDIA` names one.
fn media() -> Vec<PathBuf> {
    std::iter::once(practice_medium().to_owned()).chain(std::env::var_os("WIMWRIGHT_BENCH_MEDIA").map(PathBuf::from)).collect()
}

/// Takes `install.wim` out of an ISO with 7-Zip.
fn install_wim(workshop: &Workshop, iso: &Path, name: &str) {
    let output = run(workshop.other("7z").args(["e", "-so"]).arg(iso).arg("sources/install.wim"));
    workshop.write(name, output.stdout);
}

/// wimlib's detailed listing of all images: image and path, then the lines that do not depend on where a resource lies.
fn listing(workshop: &Workshop, wim: &str) -> BTreeMap<String, String> {
    let mut listing = BTreeMap::new();
    for image in 1..=image_count(workshop, wim) {
        let output = run(workshop.other("wimlib-imagex").args(["dir", wim, &image.to_string(), "--detailed"]));
        let text = String::from_utf8(output.stdout).unwrap();
        for block in text.split("----------------------------------------------------------------------------\n") {
            let Some((first, rest)) = block.split_once('\n') else { continue };
            let path = first.strip_prefix("Full Path           = ").unwrap().trim_matches('"');
            let kept: Vec<_> = rest.lines().filter(|line| !line.starts_with("Offset in WIM")).collect();
            assert_eq!(listing.insert(format!("{image}:{path}"), kept.join("\n")), None, "{path} is listed twice");
        }
    }
    listing
}

fn image_count(workshop: &Workshop, wim: &str) -> u32 {
    let output = run(workshop.other("wimlib-imagex").args(["info", wim]));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix("Image Count:")).unwrap().trim().parse().unwrap()
}

/// The paths in which two listings differ.
fn differing(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let paths = before.keys().chain(after.keys().filter(|path| !before.contains_key(*path)));
    paths.filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}

#[test]
fn oracle_only_what_the_recipe_names_changes() {
    if !oracles(&["7z", "wimlib-imagex"]) {
        return;
    }
    for medium in media() {
        let workshop = workshop();
        let media = medium.to_str().unwrap();
        workshop.run(&["build", "recipe.yaml", "--media", media]).succeeded();
        install_wim(&workshop, &medium, "before.wim");
        install_wim(&workshop, &workshop.path("out.iso"), "after.wim");
        run(workshop.other("wimlib-imagex").args(["verify", "after.wim"]));
        let (before, after) = (listing(&workshop, "before.wim"), listing(&workshop, "after.wim"));
        assert!(before.len() > 100, "{} paths", before.len());
        let is_named = |path: &str| {
            let path = path.split_once(':').unwrap().1.to_lowercase();
            path.starts_with("/programdata/contoso") || path == "/windows/system32/config/software"
        };
        let (named, others): (Vec<_>, Vec<_>) = differing(&before, &after).into_iter().partition(|path| is_named(path));
        assert_eq!(others, Vec::<String>::new(), "{media}");
        // Six new paths and the hive, in each image.
        assert_eq!(named.len() as u32, image_count(&workshop, "before.wim") * 6, "{named:?}");
    }
}

#[test]
fn oracle_the_new_values_are_in_the_hive() {
    if !oracles(&["7z", "wimlib-imagex"]) || !python_oracles(&["regipy", "hivex"]) {
        return;
    }
    for medium in media() {
        let workshop = workshop();
        workshop.run(&["build", "recipe.yaml", "--media", medium.to_str().unwrap()]).succeeded();
        install_wim(&workshop, &workshop.path("out.iso"), "after.wim");
        for image in 1..=image_count(&workshop, "after.wim") {
            let hive = "/Windows/System32/config/SOFTWARE";
            run(workshop.other("wimlib-imagex").env("WIMLIB_IMAGEX_IGNORE_CASE", "1").args([
                "extract",
                "after.wim",
                &image.to_string(),
                hive,
            ]));
            let read = run(python().args(["-c", READ_BACK]).arg(workshop.path("SOFTWARE")).env("PYTHONIOENCODING", "utf-8"));
            let expected = "regipy the default Grüße 42 ['a', 'b'] deadbeef\nhivex the default Grüße 42 ['a', 'b'] deadbeef\n";
            assert_eq!(String::from_utf8(read.stdout).unwrap(), expected);
        }
    }
}

#[test]
fn an_output_has_the_same_bytes_each_time() {
    for medium in media() {
        let workshop = workshop();
        let media = medium.to_str().unwrap();
        let build = |out: &str, more: &[&str]| {
            workshop.run(&[&["build", "recipe.yaml", "--media", media, "--out", out], more].concat()).succeeded();
            workshop.read(out)
        };
        let first = build("first.iso", &[]);
        assert!(first == build("second.iso", &["--library", "other"]), "another library, other bytes");
        assert!(first == build("third.iso", &["--library", "third", "--threads", "1"]), "one thread, other bytes");
        assert!(first == build("fourth.iso", &[]), "out of the cache, other bytes");
    }
}

#[test]
fn oracle_the_iso_is_sound_and_boots() {
    if !oracles(&["7z", "xorriso"]) {
        return;
    }
    for medium in media() {
        let workshop = workshop();
        workshop.run(&["build", "recipe.yaml", "--media", medium.to_str().unwrap()]).succeeded();
        run(workshop.other("7z").args(["t", "out.iso"]));
        let report = run(workshop.other("xorriso").args(["-indev", "out.iso", "-report_el_torito", "plain"]));
        let report = String::from_utf8(report.stdout).unwrap();
        let images: Vec<_> = report.lines().filter(|line| line.starts_with("El Torito boot img :")).collect();
        assert_eq!(images.len(), 2, "{report}");
        // genisoimage, which made the large medium, calls both entries BIOS.
        let is_practice = medium == practice_medium();
        assert!(images[0].contains("BIOS") && images[1].contains(if is_practice { "UEFI" } else { "BIOS" }), "{report}");
    }
}
