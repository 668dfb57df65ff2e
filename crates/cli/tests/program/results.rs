//! What programs get: JSON documents, every kind of output, pipes.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};
use wimwright_testkit::{oracles, run};

use crate::workshop::{Workshop, captured_medium};

fn inspected(workshop: &Workshop, medium: &str) -> Value {
    workshop.run(&["inspect", medium, "--format", "json"]).succeeded().json()
}

#[test]
fn inspect_has_the_promised_fields() {
    let inspected = inspected(&Workshop::new(), "practice.iso");
    let images = inspected["images"].as_array().unwrap();
    let promised = ["index", "name", "edition", "architecture", "version", "ubr", "languages"];
    let promised: Vec<_> = images.iter().map(|image| promised.map(|field| image[field].clone())).collect();
    let expected = |index: u32, name: &str, edition: &str| {
        [json!(index), json!(name), json!(edition), json!("x64"), json!("10.0.26100.1742"), json!(1742), json!(["en-US"])]
    };
    assert_eq!(
        promised,
        [
            expected(1, "Windows 11 Pro", "Professional"),
            expected(2, "Windows 11 Enterprise", "Enterprise"),
            expected(3, "Windows 11 Pro N", "ProfessionalN")
        ]
    );
    for image in images {
        assert_eq!(image["provenance"]["verdict"], "uncaptured");
        let evidence = image["provenance"]["evidence"].as_array().unwrap();
        assert!(evidence.iter().all(|item| item["found"].is_string() && item["weight"].is_i64()), "{evidence:?}");
        assert!(evidence.iter().filter(|item| item["weight"].as_i64() < Some(0)).count() > 1, "never from one value: {evidence:?}");
    }
}

#[test]
fn captured_images_are_recognized() {
    let workshop = Workshop::empty();
    for (generalized, verdict) in [(false, "captured"), (true, "captured and generalized")] {
        let inspected = inspected(&workshop, captured_medium(generalized).to_str().unwrap());
        let found: Vec<_> = inspected["images"]
            .as_array()
            .unwrap()
            .iter()
            .map(|image| image["provenance"]["verdict"].as_str().unwrap().replace(['_', '-'], " "))
            .collect();
        assert_eq!(found, [verdict; 3]);
    }
}

#[test]
fn diff_has_the_promised_fields() {
    let workshop = Workshop::new();
    workshop.write(
        "small.yaml",
        "recipe: 1\nmedia: ./practice.iso\nimages:\n  - select: { index: 1 }\n    files:\n      - { content: new, to: /new.txt }\n      - delete: /Windows/Web/Screen\n    \
         registry:\n      - { key: 'HKLM\\SOFTWARE\\Contoso', values: { a: 1 } }\noutput: { iso: ./small.iso }\n",
    );
    workshop.run(&["build", "small.yaml"]).succeeded();
    let difference = workshop.run(&["diff", "practice.iso", "small.iso", "--format", "json"]).succeeded().json();
    let paths = |part: &str, kind: &str| -> Vec<String> { serde_json::from_value(difference[part][kind].clone()).unwrap() };
    assert_eq!(paths("files", "added"), ["install.wim:1/new.txt"]);
    assert!(paths("files", "removed").contains(&"install.wim:1/Windows/Web/Screen".to_owned()), "{difference}");
    assert!(paths("files", "removed").iter().all(|path| path.starts_with("install.wim:1/Windows/Web/Screen")));
    assert_eq!(paths("files", "changed"), ["install.wim:1/Windows/System32/config/SOFTWARE"]);
    assert_eq!(paths("registry", "added"), [r"install.wim:1:HKLM\SOFTWARE\Contoso", r"install.wim:1:HKLM\SOFTWARE\Contoso!a"]);
    assert_eq!([paths("registry", "removed"), paths("registry", "changed")], [Vec::<String>::new(), Vec::new()]);
}

#[test]
fn a_build_reports_as_json_lines() {
    let workshop = Workshop::new();
    let ran = workshop.run(&["build", "recipe.yaml", "--format", "json"]).succeeded();
    assert_eq!(ran.stderr, "");
    let events: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().all(|event| event["event"].is_string()));
    let last = events.last().unwrap();
    assert_eq!([&last["event"], &last["succeeded"], &last["up_to_date"]], [&json!("finished"), &json!(true), &json!(false)]);
    let written: Value = serde_json::from_slice(&workshop.read("serviced.iso.report.json")).unwrap();
    assert_eq!(last["report"], written);
    let again = workshop.run(&["build", "recipe.yaml", "--format", "json"]).succeeded().json();
    assert_eq!([&again["succeeded"], &again["up_to_date"]], [&json!(true), &json!(true)]);
}

#[test]
fn a_failed_build_says_so_everywhere() {
    let workshop = Workshop::new();
    workshop.write(
        "fails.yaml",
        "recipe: 1\nmedia: ./practice.iso\nimages:\n  - select: all\n    files:\n      - delete: /nope\noutput: { wim: ./out.wim }\n",
    );
    let ran = workshop.run(&["build", "fails.yaml", "--format", "json"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.json()["succeeded"], false);
    let error: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert!(error["error"]["message"].as_str().unwrap().contains("files"), "{error}");
    let report: Value = serde_json::from_slice(&workshop.read("out.wim.report.json")).unwrap();
    assert!(report["images"][0]["steps"].to_string().contains("/nope"), "{report}");
    assert!(!workshop.path("out.wim").exists());
}

#[test]
fn oracle_every_kind_of_output_opens() {
    if !oracles(&["wimlib-imagex"]) {
        return;
    }
    let workshop = Workshop::new();
    workshop.write(
        "bare.yaml",
        "recipe: 1\nmedia: ./practice.iso\nimages:\n  - select: all\n    files:\n      - { content: hello, to: /hello.txt }\n",
    );
    for out in ["out.iso", "out.wim", "out.esd", "out.swm", "folder"] {
        workshop.run(&["build", "bare.yaml", "--out", out]).succeeded();
        let hello = workshop.run(&["cat", &format!("{out}:3/hello.txt")]).succeeded();
        assert_eq!(hello.stdout, "hello", "{out}");
        let unchanged = workshop.run(&["diff", "out.iso:3", &format!("{out}:3"), "--format", "json"]).succeeded().json();
        assert_eq!(unchanged["files"], json!({ "added": [], "removed": [], "changed": [] }), "{out}");
        assert!(workshop.run(&["build", "bare.yaml", "--out", out]).succeeded().stdout.contains("nothing to do"), "{out}");
    }
    for wim in ["out.wim", "out.esd", "out.swm", "folder/sources/install.wim"] {
        run(workshop.other("wimlib-imagex").args(["verify", wim]));
    }
}

#[test]
fn oracle_a_split_output_with_fewer_parts_than_before_is_whole() {
    if !oracles(&["wimlib-imagex"]) {
        return;
    }
    let workshop = Workshop::new();
    for size in ["3MB", "6MB", "2MB"] {
        workshop.write("split.yaml", format!("recipe: 1\nmedia: ./practice.iso\noutput: {{ swm: ./out/i.swm, size: {size} }}\n"));
        workshop.run(&["build", "split.yaml"]).succeeded();
        let parts = workshop.listing("out").into_iter().filter(|path| path.ends_with(".swm"));
        run(workshop.other("wimlib-imagex").args(["join", "joined.wim"]).args(parts));
        run(workshop.other("wimlib-imagex").args(["verify", "joined.wim"]));
        std::fs::remove_file(workshop.path("joined.wim")).unwrap();
    }
    // Files that only look like parts are not ours to remove.
    workshop.write("out/other2.swm", "the user's");
    workshop.write("split.yaml", "recipe: 1\nmedia: ./practice.iso\noutput: { swm: ./out/other.swm, size: 99MB }\n");
    let refused = workshop.run(&["build", "split.yaml"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("hint: remove it"), "{}", refused.stderr);
    assert_eq!(workshop.read("out/other2.swm"), b"the user's");
    assert!(!workshop.path("out/other.swm").exists());
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let workshop = Workshop::new();
    for arguments in
        [&["ls", "--recursive", "--long", "practice.iso:1"][..], &["cat", "practice.iso:/sources/install.wim"], &["schema", "recipe"]]
    {
        let mut child = workshop.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = Vec::new();
        BufReader::with_capacity(16, child.stdout.take().unwrap()).read_until(b'\n', &mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()), (Some(0), String::new()), "{arguments:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let workshop = Workshop::new();
    for arguments in [&["ls", "practice.iso"][..], &["cat", "practice.iso:/setup.exe"], &["--help"], &["--version"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let status = workshop.command(arguments).stdout(full).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}");
    }
}
