//! The recipe as a whole: what it means, what does not matter, what is wrong and how that is shown.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use proptest::prelude::*;

use super::*;

const FULL: &str = include_str!("samples/full.yaml");
const COMMON: &str = include_str!("samples/parts/common.yaml");

/// Loads `files[0]`, with the others there to be included.
fn load_files(files: &[(&str, &str)], settings: &[(&str, &str)]) -> Result<Recipe, RecipeError> {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Recipe::load(Path::new(files[0].0), &settings, &mut |path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    })
}

fn load(text: &str) -> Result<Recipe, RecipeError> {
    load_files(&[("recipe.yaml", text)], &[])
}

fn full() -> Recipe {
    load_files(&[("recipe.yaml", FULL), ("parts/common.yaml", COMMON)], &[]).unwrap()
}

/// What a recipe with `body` under its version is refused with.
fn refusal(body: &str) -> String {
    load(&format!("recipe: 1\n{body}")).unwrap_err().to_string()
}

fn first_entry(body: &str) -> ImageEntry {
    load(&format!("recipe: 1\nimages:\n  {body}")).unwrap().images.remove(0)
}

#[test]
fn everything_is_read() {
    let recipe = full();
    assert_eq!(recipe.title(), "Contoso Windows 11");
    assert_eq!(recipe.epoch, Some(Timestamp { filetime: 134_379_648_000_000_000 }));
    let professional = ImageFacts { index: 6, name: "Windows 11 Pro", edition: "Professional" };
    let kinds: Vec<_> = recipe.steps(professional).iter().map(StepSpec::kind).collect();
    // The included file's entry comes first; then Microsoft's order whatever the author's.
    let order = [
        "packages",
        "apps.remove",
        "apps.add",
        "files",
        "files",
        "start-layout",
        "default-apps",
        "registry",
        "unattend",
        "unattend",
        "metadata",
    ];
    assert_eq!(kinds, order);
    let StepSpec::Files(changes) = &recipe.steps(professional)[4] else { panic!("files") };
    let FileChange::Add(add) = &changes[0] else { panic!("add") };
    assert_eq!(add.to.as_str(), "/ProgramData/Contoso/Tools");
    assert_eq!(add.source.path, Path::new("Tools"));
    assert_eq!(add.properties.attributes, [Attribute::Readonly, Attribute::Hidden]);
    let position = add.properties.security.as_ref().unwrap().position.unwrap();
    let location = recipe.sources.locate(position).unwrap();
    assert!(location.text.contains("security:"), "{location:?}");
    let FileChange::Write(write) = &changes[1] else { panic!("content") };
    assert_eq!(write.content, "Hello ${name} $OEM$/$$ Contoso\n");
    assert!(recipe.drops(ImageFacts { index: 2, name: "x", edition: "y" }));
    assert!(recipe.drops(ImageFacts { index: 9, name: "x", edition: "CoreN" }));
    assert!(!recipe.drops(professional));
    assert_eq!(recipe.outputs.len(), 6);
}

#[test]
fn registry_data_has_the_types_it_was_written_as() {
    let entry = full().images.remove(1);
    let RegistryChange::Set(set) = &entry.registry[1] else { panic!("set") };
    assert_eq!(*set.key, "HKLM\\SOFTWARE\\Contoso");
    let expected = [
        ("@", RegistryData::String("default".into())),
        ("Big", RegistryData::Qword(u64::MAX)),
        ("Bytes", RegistryData::Binary(vec![0xde, 0xad, 0xbe, 0xef])),
        ("Count", RegistryData::Dword(5)),
        ("Gone", RegistryData::Delete),
        ("List", RegistryData::MultiString(vec!["a".into(), "b".into()])),
        ("Mask", RegistryData::Dword(u32::MAX)),
        ("Name", RegistryData::String("text".into())),
        ("Nothing", RegistryData::None(Vec::new())),
        ("Path", RegistryData::ExpandString("%ProgramData%".into())),
    ];
    assert_eq!(set.values.iter().map(|(name, data)| (name.as_str(), data.clone())).collect::<Vec<_>>(), expected);
}

#[test]
fn the_canonical_form_is_a_recipe_with_the_same_meaning() {
    let recipe = full();
    let text = recipe.canonical_text();
    let again = load(&text).unwrap();
    assert_eq!(again.canonical_text(), text);
    assert_eq!(again, recipe);
    assert_eq!(again.canonical_digest(), recipe.canonical_digest());
}

#[test]
fn comments_anchors_order_quotes_and_includes_have_no_meaning() {
    let flat = r#"
recipe: 1
media: ./in.iso
images:
  - files: [{ add: ./Shared, to: /Shared }]
  - select: { index: [1, 2] }
    files:
      - { add: ./a, to: /a, security: "O:BA", attributes: [system, hidden] }
      - { add: ./b, to: /b, security: "O:BA", attributes: [system, hidden] }
    unattend: { file: u.xml }
output: [{ wim: shared.wim }, { iso: out.iso }]
"#;
    let spread = r#"
output: # appended
  iso: 'out.iso'
include: parts/more/../common.yaml
variables: { who: a }
images:
  unattend: "./u.xml"
  files:
    - &common { attributes: [hidden, system, hidden], security: 'O:BA', to: '\${who}', "add": ./x/../a }
    - <<: *common
      to: /b
      add: >-
        ./b
  select: [1, 2]
media: in.iso
recipe: 0x1
"#;
    let common =
        "recipe: 1\nmedia: ./other.iso\nimages: { select: all, files: { to: /Shared/, add: ../Shared } }\noutput: { wim: ../shared.wim }\n";
    let flat = load(flat).unwrap();
    let spread =
        load_files(&[("recipe.yaml", spread), ("parts/more/../common.yaml", common)], &[]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(flat.canonical_json(), spread.canonical_json());
    assert_eq!(flat.canonical_digest(), spread.canonical_digest());
}

#[test]
fn a_difference_in_meaning_is_a_difference() {
    let base = load("recipe: 1\nimages: { files: { add: ./a, to: /a } }").unwrap();
    for other in ["{ add: ./b, to: /a }", "{ add: ./a, to: /A }", "{ add: ./a, to: /a, attributes: hidden }", "{ delete: /a }"] {
        let other = load(&format!("recipe: 1\nimages: {{ files: {other} }}")).unwrap();
        assert_ne!(base, other);
        assert_ne!(base.canonical_digest(), other.canonical_digest());
    }
}

#[test]
fn the_canonical_form_does_not_depend_on_where_the_recipe_lies() {
    let text = "recipe: 1\nmedia: ../media/in.iso\nimages: { files: { add: /srv/tools, to: /t } }";
    let here = load(text).unwrap();
    let there = load_files(&[("/home/contoso/images/recipe.yaml", text)], &[]).unwrap();
    assert_eq!(here, there);
    let Some(Media::Path(media)) = &there.media else { panic!("media") };
    assert_eq!(media.path, Path::new("/home/contoso/images/../media/in.iso"));
    assert_eq!(media.canonical(), "../media/in.iso");
}

#[test]
fn positions_point_into_the_included_file() {
    let files =
        [("a/recipe.yaml", "recipe: 1\ninclude: [../b/common.yaml]\n"), ("a/../b/common.yaml", "recipe: 1\nimages:\n  - fils: []\n")];
    let error = load_files(&files, &[]).unwrap_err();
    let location = error.problems[0].location.clone().unwrap();
    assert_eq!((location.path.as_path(), location.line, location.column), (Path::new("a/../b/common.yaml"), 3, 5));
    let good = [("a/recipe.yaml", files[0].1), ("a/../b/common.yaml", "recipe: 1\nimages: [{ unattend: u.xml }]\n")];
    let recipe = load_files(&good, &[]).unwrap();
    let unattend = recipe.images[0].unattend.clone().unwrap();
    assert_eq!((unattend.file.path.as_path(), unattend.file.canonical()), (Path::new("a/../b/u.xml"), "../b/u.xml"));
    let later = recipe.problem(unattend.file.position, "no such file");
    let expected = "no such file
 --> a/../b/common.yaml:2:22
  |
2 | images: [{ unattend: u.xml }]
  |                      ^^^^^";
    assert_eq!(later.to_string(), expected);
}

#[test]
fn variables_come_from_the_recipe_its_includes_and_outside() {
    let files = [
        ("r.yaml", "recipe: 1\ninclude: [c.yaml, d.yaml]\nvariables: { b: 2, needed: }\nname: ${a}${b}${c}${needed}"),
        ("c.yaml", "recipe: 1\nvariables: { a: 1, b: 1, c: 1 }"),
        ("d.yaml", "recipe: 1\nvariables: { c: '<${a}>' }"),
    ];
    assert_eq!(load_files(&files, &[("needed", "$ ${a}")]).unwrap().title(), "12<1>$ ${a}");
    let missing = load_files(&files, &[]).unwrap_err().to_string();
    assert!(missing.contains("variable `needed` has no value") && missing.contains("--set needed=VALUE"), "{missing}");
    let slip = load_files(&files, &[("neded", "x")]).unwrap_err().to_string();
    assert!(slip.contains("undefined variable `neded`") && slip.contains("did you mean `needed`?"), "{slip}");
    let numbers = load("recipe: 1\nvariables: { n: 6 }\nimages: { select: \"x\" }").unwrap_err();
    assert!(numbers.to_string().contains("unknown value `x`"), "{numbers}");
    let numbers = load("recipe: 1\nvariables: { n: 6 }\nimages: { select: ${n} }").unwrap_err();
    assert!(!numbers.problems.is_empty(), "a flow mapping ends `${{n` at its brace");
    let numbers = load("recipe: 1\nvariables: { n: 6 }\nimages:\n  select: ${n}").unwrap();
    assert!(numbers.images[0].select.matches(ImageFacts { index: 6, name: "", edition: "" }));
}

#[test]
fn one_item_may_stand_for_a_list_and_nothing_for_none() {
    let entry = first_entry("files: { delete: /a }");
    assert_eq!(entry.files.len(), 1);
    let entry = first_entry("files:\n  unattend: u.xml");
    assert!(entry.files.is_empty());
    let entry = first_entry("apps: { remove: A, add: [b.msix, { package: c.appx, dependencies: d.appx }] }");
    let apps = entry.apps.unwrap();
    assert_eq!((apps.remove.len(), apps.add.len(), apps.add[1].dependencies.len()), (1, 2, 1));
}

#[test]
fn selectors_that_mean_nothing_are_found() {
    let recipe = load("recipe: 1\nimages: { select: [1, { edition: Pro }] }\ndrop: { name: 'Windows 11 *' }").unwrap();
    let images = [ImageFacts { index: 1, name: "Windows 11 Pro", edition: "Professional" }];
    let error = recipe.check_selectors(&images).unwrap_err().to_string();
    let expected = "no image has edition `Pro`\n --> recipe.yaml:2:34\n  |\n2 | images: { select: [1, { edition: Pro }] }\n  |                                  ^^^\n  = the medium has: 1 Windows 11 Pro (Professional)";
    assert_eq!(error, expected);
}

#[test]
fn all_problems_are_shown_in_reading_order() {
    let text = "
images:
  - select: { editon: Pro }
    file: x
    files:
      - { add: ./Tools, to: 'C:\\Windows', attribtes: [hidden] }
      - { add: ./T, to: /x, attributes: [hiden], time: yesterday }
";
    let expected = "unknown key `editon`
 --> recipe.yaml:4:15
  |
4 |   - select: { editon: Pro }
  |               ^^^^^^
  = did you mean `edition`? allowed here: `index`, `name`, `edition`

unknown key `file`
 --> recipe.yaml:5:5
  |
5 |     file: x
  |     ^^^^
  = did you mean `files`? allowed here: `select`, `updates`, `capabilities`, `features`, `packages`, `servicing`, `apps`, `files`, `start-layout`, `default-apps`, `registry`, `unattend`, `metadata`

`C:\\Windows` has a drive: a path in an image starts with `/` at the image's own root
 --> recipe.yaml:7:29
  |
7 |       - { add: ./Tools, to: 'C:\\Windows', attribtes: [hidden] }
  |                             ^^^^^^^^^^^^

unknown key `attribtes`
 --> recipe.yaml:7:43
  |
7 |       - { add: ./Tools, to: 'C:\\Windows', attribtes: [hidden] }
  |                                           ^^^^^^^^^
  = did you mean `attributes`? allowed here: `add`, `to`, `attributes`, `security`, `time`

unknown value `hiden`
 --> recipe.yaml:8:42
  |
8 |       - { add: ./T, to: /x, attributes: [hiden], time: yesterday }
  |                                          ^^^^^
  = did you mean `hidden`? allowed: `readonly`, `hidden`, `system`, `archive`, `not-content-indexed`

`yesterday` is not a time
 --> recipe.yaml:8:56
  |
8 |       - { add: ./T, to: /x, attributes: [hiden], time: yesterday }
  |                                                        ^^^^^^^^^
  = write it like 2026-11-01T00:00:00Z or 2026-11-01";
    assert_eq!(refusal(text), expected);
}

#[test]
fn what_a_recipe_cannot_say() {
    let cases = [
        ("name: a\nname: b", "key `name` is given twice, first in line 2"),
        ("name: [", "unclosed bracket"),
        ("name: !!str a", "recipes have no YAML tags"),
        ("images: &a [*a]", "a value cannot contain itself"),
        ("---\nname: a", "a recipe is one YAML document"),
        ("? [a]\n: b", "a key must be text"),
        ("<<: 5", "`<<` merges a mapping"),
        ("include: recipe.yaml", "`recipe.yaml` includes itself"),
        ("include: none.yaml", "cannot read `none.yaml`"),
        ("include: ${x}.yaml", "`include` takes no variables"),
        ("variables: { a: '${b}', b: '${a}' }\nname: ${a}", "variable `a` contains itself"),
        ("variables: { 1a: b }", "cannot be the name of a variable"),
        ("name: ${env:PATH}", "`${` is not followed by the name of a variable"),
        ("images: { files: { add: a, delete: /b } }", "`add` and `delete` exclude each other"),
        ("images: { files: { to: /b } }", "one of these keys is needed: `add`, `content`, `delete`, `rename`"),
        ("images: { files: { add: a } }", "missing key `to`"),
        ("images: { files: { add: '', to: /a } }", "not a path"),
        ("images: { files: { delete: /a/../b } }", "`..` is not allowed"),
        ("images: { files: { delete: 'Windows' } }", "does not start with `/`"),
        ("images: { files: { delete: '/a:b' } }", "is not allowed in a file name"),
        ("images: { files: { delete: '/a. ' } }", "ends with a dot or a space"),
        ("images: { select: 0 }", "the first image has index 1"),
        ("images: { select: [] }", "this selects no image"),
        ("images: { select: [1, { name: [] }] }", "this selects no image"),
        ("drop: { edition: }", "this selects no image"),
        ("name: true", "expected text, found true or false"),
        ("images: { select: { index: 1, name: x } }", "`index` and `name` exclude each other"),
        ("images: { registry: { key: K, values: { a: 4294967296 } } }", "does not fit a REG_DWORD"),
        ("images: { registry: { key: K, values: { a: -1 } } }", "does not fit a REG_DWORD"),
        ("images: { registry: { key: K, values: { a: true } } }", "the registry has no true and false"),
        ("images: { registry: { key: K, values: { a: [x, ''] } } }", "ends at its first empty string"),
        ("images: { registry: { key: K, values: { a: 1, A: 2 } } }", "key `A` is given twice"),
        ("images: { registry: { key: K, values: { a: { type: REG_BINARY, data: abc } } } }", "pairs of hexadecimal digits"),
        ("images: { registry: { key: K, values: { a: { type: REG_SZ } } } }", "missing key `data`"),
        ("output: { swm: a.swm }", "missing key `size`"),
        ("output: { swm: a.swm, size: 4000 }", "`4000` is not a size"),
        ("output: { iso: a.iso, install: swm }", "missing key `size`"),
        ("output: { iso: a.iso, size: 3GB }", "only a split image has parts"),
        ("output: { iso: a.iso, install: esd, compression: lzx }", "an ESD is always compressed with LZMS"),
        ("output: { iso: a.iso, label: 'a label of more than 32 characters' }", "a volume label has 1 to 32 characters"),
        ("output: { wim: a.wim, level: 101 }", "compression level 101 is not between 1 and 100"),
        ("epoch: 1500-01-01", "`1500-01-01` is not a time"),
    ];
    for (body, expected) in cases {
        let shown = refusal(body);
        assert!(shown.contains(expected), "{body}\nexpected: {expected}\nshown: {shown}");
    }
    let without_version = load("name: a").unwrap_err().to_string();
    assert!(without_version.starts_with("missing key `recipe`"), "{without_version}");
    assert!(load("recipe: 2").unwrap_err().to_string().contains("version 2 of the recipe format is not known"));
    assert!(load("").unwrap_err().to_string().contains("expected a mapping, found nothing"));
}

#[test]
fn bombs_are_refused() {
    let mut aliases = "recipe: 1\nx0: &x0 [a, a, a, a, a, a, a, a, a, a]\n".to_owned();
    let mut variables = "variables:\n  v0: aaaaaaaaaa\n".to_owned();
    for level in 1..30 {
        let previous = level - 1;
        aliases.push_str(&format!("x{level}: &x{level} [{}]\n", format!("*x{previous}, ").repeat(10)));
        variables.push_str(&format!("  v{level}: \"{}\"\n", format!("${{v{previous}}}").repeat(10)));
    }
    assert!(load(&aliases).unwrap_err().to_string().contains("more than 200000 values in one file"));
    assert!(refusal(&format!("{variables}name: ${{v29}}")).contains("bytes of text after variables are put in"));
    assert!(load(&"[".repeat(100_000)).unwrap_err().to_string().contains("recursion limit"));
    assert!(load(&"- ".repeat(200)).unwrap_err().to_string().contains("more than 64 levels of nesting"));
    assert!(load(&" ".repeat(2 << 20)).unwrap_err().to_string().contains("bytes in one file"));
}

#[test]
fn an_error_cannot_move_the_cursor_or_flood_the_terminal() {
    let shown = refusal(&format!("{}: \"\u{202e}\u{7}\"", "x".repeat(100_000)));
    assert!(shown.len() < 110_000 && shown.lines().skip(1).all(|line| line.chars().count() < 400), "{}", shown.len());
    let shown = refusal("\"a\\e[31m\u{202e}b\": 1");
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()) && !shown.contains('\u{202e}'), "{shown:?}");
}

#[test]
fn broken_recipes_give_a_value_or_an_error() {
    let bytes = FULL.as_bytes();
    let mut outcomes = [0; 2];
    for at in 0..bytes.len() {
        for replacement in [b'[', b':', b'"', b'\n', b'$', 0xff] {
            let mut broken = bytes.to_vec();
            if replacement == 0xff {
                broken.truncate(at)
            } else {
                broken[at] = replacement
            }
            let result = Recipe::load(Path::new("recipe.yaml"), &BTreeMap::new(), &mut |path| {
                Ok(if path == Path::new("recipe.yaml") { broken.clone() } else { COMMON.into() })
            });
            outcomes[usize::from(result.is_err())] += 1;
            if let Err(error) = result {
                assert!(!error.problems.is_empty() && !error.to_string().is_empty());
            }
        }
    }
    assert!(outcomes.iter().all(|count| *count > 100), "{outcomes:?}");
}

#[test]
fn patterns_match_as_on_windows() {
    for (pattern, name, expected) in [
        ("Microsoft.Xbox*", "microsoft.xboxGameOverlay", true),
        ("Microsoft.Xbox*", "Microsoft.Bing", false),
        ("*", "", true),
        ("?", "", false),
        ("a?c", "aXc", true),
        ("*b*d", "abcbd", true),
        ("*b*d", "abcbdx", false),
        ("Pro", "Professional", false),
        ("É*", "école", true),
    ] {
        assert_eq!(Pattern::from(pattern).matches(name), expected, "{pattern} {name}");
    }
    assert!(!Pattern::from("*a".repeat(1000).as_str()).matches(&"a".repeat(999)));
}

#[test]
fn times_and_sizes() {
    let time = |text| Timestamp::parse(text).map(|time| time.filetime);
    assert_eq!(time("1601-01-01"), Some(0));
    assert_eq!(time("1970-01-01T00:00:00Z"), Some(116_444_736_000_000_000));
    assert_eq!(time("2026-11-01T01:00:00+01:00"), time("2026-11-01"));
    assert_eq!(time("2026-11-01T00:00:00.1234567Z"), time("2026-11-01").map(|time| time + 1_234_567));
    for wrong in ["1600-12-31", "2026-13-01", "2026-11-01 00:00", "now", "", "2026-1-1é"] {
        assert_eq!(time(wrong), None, "{wrong}");
    }
    let size = |text| ByteSize::parse(text).map(|size| size.bytes);
    assert_eq!(size("4000MB"), Some(4000 << 20));
    assert_eq!(size("3 gb"), Some(3 << 30));
    for wrong in ["0MB", "-1MB", "1.5GB", "MB", "99999999999999999999GB", "18446744073709551615GB", "4000", "1éB", ""] {
        assert_eq!(size(wrong), None, "{wrong}");
    }
}

#[test]
fn the_published_schema_is_this_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/recipe.schema.json");
    let published: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(published == json_schema(), "docs/reference/recipe.schema.json is not what the types say: run `cargo xtask generate`");
}

/// Every path to a value in a JSON tree, as JSON pointers.
fn pointers(value: &serde_json::Value, pointer: &str, found: &mut Vec<String>) {
    found.push(pointer.to_owned());
    match value {
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| pointers(item, &format!("{pointer}/{index}"), found));
        }
        serde_json::Value::Object(map) => map.iter().for_each(|(key, item)| pointers(item, &format!("{pointer}/{key}"), found)),
        _ => {}
    }
}

/// The schema is derived, the decoders are written: here they judge each other. Whatever the loader's canonical form can
/// hold the schema allows, and a slip in any key is refused by both.
#[test]
fn schema_and_loader_agree() {
    let validator = jsonschema::draft7::new(&json_schema()).unwrap();
    let canonical = full().canonical_json();
    assert!(validator.is_valid(&canonical), "{:?}", validator.iter_errors(&canonical).map(|error| error.to_string()).collect::<Vec<_>>());
    let mut all = Vec::new();
    pointers(&canonical, "", &mut all);
    let mut slips = 0;
    for pointer in all.iter().filter(|pointer| !pointer.is_empty() && !pointer.contains("/values/")) {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let mut changed = canonical.clone();
        let Some(serde_json::Value::Object(map)) = changed.pointer_mut(parent) else { continue };
        let value = map.remove(key).unwrap();
        let without = changed.clone();
        // Required for one, required for both; but for `size`, which only split images need.
        if key != "size" && key != "install" {
            assert_eq!(validator.is_valid(&without), load(&without.to_string()).is_ok(), "without {pointer}");
        }
        let Some(serde_json::Value::Object(map)) = changed.pointer_mut(parent) else { continue };
        map.insert(format!("{key}x"), value);
        assert!(!validator.is_valid(&changed), "the schema allows a slip in {pointer}");
        assert!(load(&changed.to_string()).is_err(), "the loader allows a slip in {pointer}");
        slips += 1;
    }
    assert!(slips > 60, "{slips}");
}

#[test]
fn a_lock_says_what_changed() {
    let recipe = full();
    let names: Vec<_> = recipe.inputs().iter().map(Input::name).collect();
    let expected = [
        "App.msixbundle",
        "App_License1.xml",
        "Shared",
        "Small.msix",
        "Tools",
        "VCLibs.appx",
        "Win11.iso",
        "assoc.xml",
        "base.bin",
        "fod",
        "kb",
        "late.cab",
        "layout.xml",
        "more.cab",
        "root.cer",
        "sxs",
        "tweaks.reg",
        "u2.xml",
        "unattend.xml",
    ];
    assert_eq!(names, expected);
    let mut same = |input: Input<'_>| Ok(Fingerprint { sha256: input.name(), size: 1 });
    let lock = Lock::create(&recipe, false, &mut same).unwrap();
    assert_eq!(Lock::parse(&lock.to_text()).unwrap(), lock);
    lock.verify(&recipe, &mut same).unwrap();

    let mut other = |input: Input<'_>| Ok(Fingerprint { sha256: input.name(), size: if input.name() == "Tools" { 2 } else { 1 } });
    let LockError::Changed(changes) = lock.verify(&recipe, &mut other).unwrap_err() else { panic!("changed") };
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].to_string(), "the input `Tools` changed: from Tools (1 bytes) to Tools (2 bytes)");

    let library = load("recipe: 1\nmedia: { library: Windows 11 x64 }").unwrap();
    let LockError::Changed(changes) = lock.verify(&library, &mut same).unwrap_err() else { panic!("changed") };
    assert!(matches!(changes[0], LockChange::Recipe { .. }));
    assert_eq!(changes[1], LockChange::Added { name: "library:Windows 11 x64".into() });
    assert_eq!(changes.iter().filter(|change| matches!(change, LockChange::Removed { .. })).count(), expected.len());

    let open = load("recipe: 1\nimages: []").unwrap();
    Lock::create(&open, false, &mut same).unwrap().verify(&open, &mut other).unwrap();
    let given = Lock::create(&open, true, &mut same).unwrap();
    given.verify(&open, &mut same).unwrap();
    let mut another = |input: Input<'_>| Ok(Fingerprint { sha256: input.name(), size: 2 });
    let LockError::Changed(changes) = given.verify(&open, &mut another).unwrap_err() else { panic!("changed") };
    assert!(matches!(&changes[..], [LockChange::Input { name, .. }] if name == "--media"), "{changes:?}");

    let failed = Lock::create(&recipe, false, &mut |_| Err(io::Error::from(io::ErrorKind::NotFound))).unwrap_err();
    assert!(failed.to_string().starts_with("cannot read the input `App.msixbundle`"), "{failed}");
    assert!(matches!(Lock::parse("{}"), Err(LockError::Syntax(_))));
    assert!(matches!(Lock::parse(&lock.to_text().replacen("\"version\": 1", "\"version\": 2", 1)), Err(LockError::Version(2))));
}

#[test]
fn a_folder_is_fingerprinted_by_its_content() {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    for folder in ["one", "two"] {
        write(&format!("{folder}/b/x"), "x");
        write(&format!("{folder}/a"), "yy");
    }
    let of = |path: &str| fingerprint(&root.path().join(path)).unwrap();
    let before = of("one");
    assert_eq!((before.clone(), before.size), (of("two"), 3));
    std::fs::create_dir(root.path().join("two/empty")).unwrap();
    assert_ne!(before, of("two"));
    write("one/b/x", "z");
    assert_ne!(before, of("one"));
    assert_eq!(of("one/a").sha256, hex(&Sha256::digest("yy")));
    std::os::unix::fs::symlink("a", root.path().join("one/link")).unwrap();
    let linked = of("one");
    std::fs::remove_file(root.path().join("one/link")).unwrap();
    std::os::unix::fs::symlink("b", root.path().join("one/link")).unwrap();
    assert_ne!(linked, of("one"));
}

#[test]
fn packages_of_all_entries_are_one_step() {
    let recipe = load(
        "recipe: 1
images:
  - { updates: ./kb, servicing: { engine: native, deferred: fail, roots: a.cer }, files: { content: x, to: /x } }
  - { select: 1, updates: [{ path: x.msu, engine: setup }], capabilities: { source: ./fod } }
  - { select: [1, 2], capabilities: { add: OpenSSH.Server }, servicing: { deferred: defer, roots: b.cer } }
  - { select: 3, servicing: { allow-unsigned: true } }
",
    )
    .unwrap();
    let steps = |index| recipe.steps(ImageFacts { index, name: "", edition: "" });
    let StepSpec::Packages(packages) = &steps(1)[0] else { panic!("packages come first") };
    assert_eq!(steps(1).len(), 2);
    let updates: Vec<_> = packages.updates.iter().map(|update| (update.path.canonical(), update.engine)).collect();
    assert_eq!(updates, [("kb", None), ("x.msu", Some(Engine::Setup))]);
    assert_eq!(packages.capabilities[0].value.as_str(), "OpenSSH.Server");
    assert_eq!(packages.offers[0].canonical(), "fod");
    let servicing = &packages.servicing;
    assert_eq!((servicing.engine, servicing.deferred, servicing.allow_unsigned), (Some(Engine::Native), Some(Deferred::Defer), None));
    assert_eq!(servicing.roots.iter().map(HostPath::canonical).collect::<Vec<_>>(), ["a.cer", "b.cer"]);
    let StepSpec::Packages(packages) = &steps(3)[0] else { panic!("packages come first") };
    assert_eq!((packages.updates.len(), packages.servicing.allow_unsigned), (1, Some(true)));
    // How things are done is nothing to do; cleanup is.
    let alone = |servicing: &str| {
        let recipe = load(&format!("recipe: 1\nimages: {{ servicing: {servicing} }}")).unwrap();
        recipe.steps(ImageFacts { index: 1, name: "", edition: "" }).len()
    };
    assert_eq!((alone("{ allow-unsigned: true, cleanup: false }"), alone("{ cleanup: true }")), (0, 1));
}

#[test]
fn slips_in_packages_are_shown_with_what_would_be_right() {
    let told = |body: &str| refusal(&format!("images:\n  - {body}"));
    for (body, expected) in [
        ("updates: [{ file: a.msu }]", ["missing key `path`", "3:15"]),
        (
            "updates: [{ path: a.msu, engine: nativ }]",
            ["unknown value `nativ`", "did you mean `native`? allowed: `auto`, `native`, `setup`"],
        ),
        ("updates: ['']", ["not a path", "3:15"]),
        ("capabilities: { ad: [x] }", ["unknown key `ad`", "did you mean `add`? allowed here: `add`, `source`"]),
        ("capabilities: { add: ['Language.*'] }", ["`Language.*` is a pattern: a whole name is needed here", "3:27"]),
        ("features: { enabled: x }", ["unknown key `enabled`", "did you mean `enable`?"]),
        ("features: { disable: [{ name: x, remove: true }] }", ["unknown key `remove`", "`remove-files`"]),
        ("features: { disable: [''] }", ["a name cannot be empty", "3:27"]),
        ("packages: [x]", ["expected a mapping, found a list", "3:15"]),
        ("servicing: { allow-unsigned: maybe }", ["expected true or false", "3:34"]),
        ("servicing: { deferred: later }", ["unknown value `later`", "allowed: `defer`, `omit`, `fail`"]),
        ("servicing: { allow_unsigned: true }", ["unknown key `allow_unsigned`", "did you mean `allow-unsigned`?"]),
    ] {
        let message = told(body);
        assert!(expected.iter().all(|part| message.contains(part)), "{body}: {message}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever text a value has, the canonical form gives it back.
    #[test]
    fn any_text_survives_the_canonical_form(text in "[ -~é\n$\u{7f}\u{9f}\u{feff}\u{ffff}]{0,40}", name in "[!-~]{1,12}") {
        let source = serde_json::json!({
            "recipe": 1,
            "images": [{ "files": [{ "content": text.replace("${", "$${"), "to": "/a" }], "registry": [{ "key": "HKLM\\SOFTWARE", "values": { name: text.replace("${", "$${") } }] }]
        });
        let source = source.to_string();
        let escape = |c: char| if c > '~' && c != 'é' { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
        let recipe = load(&source.chars().map(escape).collect::<String>()).unwrap();
        let FileChange::Write(write) = &recipe.images[0].files[0] else { panic!("content") };
        prop_assert_eq!(&write.content, &text);
        let again = load(&recipe.canonical_text()).unwrap();
        prop_assert_eq!(again, recipe);
    }
}

/// Every YAML block of the guide is loaded: whole recipes as they are, parts of one under a version, parts of an entry
/// of `images` under one.
#[test]
fn the_guide_is_right() {
    let guide = include_str!("../../../../docs/guides/recipe.md");
    let blocks: Vec<_> = guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 10);
    for block in blocks {
        let key = block.split(':').next().unwrap_or_default();
        let text = match key {
            "recipe" | "# yaml-language-server" => format!("{block}\n{}", if key == "recipe" { "" } else { "recipe: 1" }),
            "images" | "variables" | "include" => format!("recipe: 1\n{block}"),
            _ => format!("recipe: 1\nimages:\n  - select: all\n{}", block.lines().map(|line| format!("    {line}\n")).collect::<String>()),
        };
        let loaded = Recipe::load(Path::new("recipe.yaml"), &BTreeMap::new(), &mut |path| {
            Ok(if path == Path::new("recipe.yaml") { text.clone() } else { "recipe: 1".to_owned() }.into_bytes())
        });
        if let Err(error) = loaded {
            panic!("{error}");
        }
    }
}
